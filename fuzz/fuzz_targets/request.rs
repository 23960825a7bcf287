//! The path from bytes to a request: frames, header, shape, decoder, as the Kafka listener goes it.
//! Nothing may panic, and nothing may take memory out of proportion (libFuzzer's limit finds it).

#![no_main]

use std::sync::Arc;

use bytes::Bytes;
use kafka_protocol::messages::{ApiKey, FetchRequest, FetchSnapshotRequest};
use libfuzzer_sys::fuzz_target;
use yakt::api::{self, Kind};
use yakt::rules::Caller;
use yakt::wire::doors::Call;
use yakt::wire::frame::{FRAME_BYTES_MAX, Head, Inbox};
use yakt::wire::{envelope, forward, shapes};

fuzz_target!(|bytes: &[u8]| {
    let mut inbox = Inbox::default();
    inbox.extend(bytes);
    while let Ok(Some(frame)) = inbox.next_frame(FRAME_BYTES_MAX) {
        read(frame);
    }
    // The same bytes as one frame, so that the fuzzer need not find the length.
    read(Bytes::copy_from_slice(bytes));
});

fn read(mut frame: Bytes) {
    let Ok(head) = Head::take(&mut frame) else {
        return;
    };
    if head.key == forward::FORWARD_KEY {
        if let Ok(call) = forward::read(frame, "") {
            decode(call.api, call.version, call.body);
        }
        return;
    }
    if let Ok(api) = ApiKey::try_from(head.key) {
        decode(api, head.version, frame);
    }
}

fn decode(api: ApiKey, version: i16, body: Bytes) {
    let Some(row) = api::find(api as i16).filter(|row| row.versions.contains(&version)) else {
        return;
    };
    if shapes::walk(api, version, &body).is_err() {
        return;
    }
    match row.kind {
        Kind::Read(read) => drop(read(body, version)),
        Kind::Write(write) => drop(write(body, version)),
        Kind::Feed if api == ApiKey::Fetch => drop(api::decode::<FetchRequest>(body, version)),
        Kind::Feed => drop(api::decode::<FetchSnapshotRequest>(body, version)),
        Kind::Session => {
            let caller = Arc::new(Caller::internal());
            let call = Call {
                api,
                version,
                body,
                caller,
            };
            if let Ok(inner) = envelope::open(&call) {
                decode(inner.api, inner.version, inner.body);
            }
        }
        Kind::Quorum => {}
    }
}
