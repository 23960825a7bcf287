//! Frames and their headers: where bytes from outside become a request, and answers become bytes.
//!
//! A frame is four length bytes and so many bytes more: a header, then the body. Nothing is reserved
//! for bytes that have not arrived, whatever the length says.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use kafka_protocol::messages::ApiKey;
use kafka_protocol::protocol::StrBytes;

use crate::metrics::Closed;

/// Longest frame that is ever taken; `socket.request.max.bytes` may say less, not more.
pub const FRAME_BYTES_MAX: usize = 100 * 1024 * 1024;
/// Keys from here on are spoken between YAKt nodes only, and never advertised.
pub const PEER_KEY_MIN: i16 = 20_000;
/// The four bytes of the length.
const PREFIX_BYTES: usize = 4;

/// Bytes of a connection that have arrived and are not yet requests.
#[derive(Debug, Default)]
pub struct Inbox {
    bytes: BytesMut,
}

impl Inbox {
    /// Adds what has arrived.
    pub fn extend(&mut self, arrived: &[u8]) {
        self.bytes.extend_from_slice(arrived);
    }

    /// Bytes held.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether no byte is held.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The next whole frame without its length, of `longest` bytes at most; `None` until all of it
    /// is there.
    pub fn next_frame(&mut self, longest: usize) -> Result<Option<Bytes>, Closed> {
        let Some(prefix) = self.bytes.first_chunk::<PREFIX_BYTES>() else {
            return Ok(None);
        };
        let length =
            usize::try_from(i32::from_be_bytes(*prefix)).map_err(|_| Closed::FrameLength)?;
        if length > longest.min(FRAME_BYTES_MAX) {
            return Err(Closed::FrameLength);
        }
        if self.bytes.len().saturating_sub(PREFIX_BYTES) < length {
            return Ok(None);
        }
        self.bytes.advance(PREFIX_BYTES);
        let frame = self.bytes.split_to(length).freeze();
        if self.bytes.is_empty() {
            // The frame owns the memory now; an idle connection holds none.
            self.bytes = BytesMut::new();
        }
        Ok(Some(frame))
    }
}

/// What a request's header says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// The API's number.
    pub key: i16,
    /// The version that the body is written in.
    pub version: i16,
    /// Comes back in the answer.
    pub correlation_id: i32,
    /// Name that the client gave itself.
    pub client_id: Option<StrBytes>,
}

impl Head {
    /// Reads the header off a frame and leaves the body. Which header it is depends on key and
    /// version: flexible versions end it with tagged fields. Peers' requests have none.
    pub fn take(frame: &mut Bytes) -> Result<Self, Closed> {
        let key = frame.try_get_i16().map_err(|_| Closed::Header)?;
        let version = frame.try_get_i16().map_err(|_| Closed::Header)?;
        let correlation_id = frame.try_get_i32().map_err(|_| Closed::Header)?;
        let flexible = match ApiKey::try_from(key) {
            Ok(api) => api.request_header_version(version) >= 2,
            Err(()) if key >= PEER_KEY_MIN => false,
            Err(()) => return Err(Closed::UnknownApi),
        };
        let client_id = take_nullable_string(frame)?;
        if flexible {
            skip_tagged_fields(frame)?;
        }
        Ok(Self {
            key,
            version,
            correlation_id,
            client_id,
        })
    }
}

/// Client ids are the one string that stays in the old form when the header is flexible.
fn take_nullable_string(frame: &mut Bytes) -> Result<Option<StrBytes>, Closed> {
    let length = frame.try_get_i16().map_err(|_| Closed::Header)?;
    if length == -1 {
        return Ok(None);
    }
    let length = usize::try_from(length).map_err(|_| Closed::Header)?;
    let text = take(frame, length)?;
    StrBytes::from_utf8(text)
        .map(Some)
        .map_err(|_| Closed::Header)
}

fn skip_tagged_fields(frame: &mut Bytes) -> Result<(), Closed> {
    for _ in 0..take_varint(frame)? {
        let _tag = take_varint(frame)?;
        let length = take_varint(frame)? as usize;
        take(frame, length)?;
    }
    Ok(())
}

fn take(frame: &mut Bytes, length: usize) -> Result<Bytes, Closed> {
    if length > frame.len() {
        return Err(Closed::Header);
    }
    Ok(frame.split_to(length))
}

fn take_varint(frame: &mut Bytes) -> Result<u32, Closed> {
    let mut value = 0;
    for shift in [0, 7, 14, 21, 28] {
        let byte = frame.try_get_u8().map_err(|_| Closed::Header)?;
        value |= u32::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Ok(value);
        }
    }
    Err(Closed::Header)
}

/// Which request an answer belongs to, and how its header is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplyTo {
    /// From the request's header.
    pub correlation_id: i32,
    /// Response header version 1 ends with tagged fields; version 0 does not. ApiVersions is always
    /// answered with version 0, so that clients can read it before they know anything.
    pub flexible: bool,
}

impl ReplyTo {
    /// The answer to this request of a known API.
    pub fn request(head: &Head, api: ApiKey) -> Self {
        let flexible = api.response_header_version(head.version) >= 1;
        Self {
            correlation_id: head.correlation_id,
            flexible,
        }
    }

    /// Writes the header, without length.
    pub fn put(self, out: &mut BytesMut) {
        out.put_i32(self.correlation_id);
        if self.flexible {
            out.put_u8(0);
        }
    }
}

/// Writes one frame: whatever `content` appends, behind its length. If `content` fails, `out` is as
/// it was.
pub fn put_frame<E>(
    out: &mut BytesMut,
    content: impl FnOnce(&mut BytesMut) -> Result<(), E>,
) -> Result<(), E> {
    let start = out.len();
    out.put_i32(0);
    if let Err(error) = content(out) {
        out.truncate(start);
        return Err(error);
    }
    let length = out.len().saturating_sub(start).saturating_sub(PREFIX_BYTES) as i32;
    if let Some(prefix) = out
        .get_mut(start..)
        .and_then(|frame| frame.first_chunk_mut())
    {
        *prefix = length.to_be_bytes();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inbox(bytes: &[u8]) -> Inbox {
        let mut inbox = Inbox::default();
        inbox.extend(bytes);
        inbox
    }

    #[test]
    fn frames_come_out_whole_however_they_arrive() {
        let sent = [
            &[0, 0, 0, 3][..],
            b"abc",
            &[0, 0, 0, 0],
            &[0, 0, 0, 1],
            b"d",
        ]
        .concat();
        for pieces in 1..sent.len() {
            let mut inbox = Inbox::default();
            let mut frames = Vec::new();
            for piece in sent.chunks(pieces) {
                inbox.extend(piece);
                while let Some(frame) = inbox.next_frame(1000).unwrap() {
                    frames.push(frame);
                }
            }
            assert_eq!(frames, [&b"abc"[..], b"", b"d"]);
            assert!(inbox.is_empty());
        }
    }

    #[test]
    fn lengths_out_of_range_end_the_connection() {
        let length = |length: i32| inbox(&length.to_be_bytes()).next_frame(usize::MAX);
        assert_eq!(length(-1), Err(Closed::FrameLength));
        assert_eq!(length(i32::MIN), Err(Closed::FrameLength));
        assert_eq!(length(FRAME_BYTES_MAX as i32 + 1), Err(Closed::FrameLength));
        assert_eq!(length(i32::MAX), Err(Closed::FrameLength));
        assert_eq!(length(FRAME_BYTES_MAX as i32), Ok(None));
        assert_eq!(
            inbox(&[0, 0, 1, 1]).next_frame(256),
            Err(Closed::FrameLength)
        );
    }

    #[test]
    fn an_announced_frame_takes_no_memory() {
        let announced = inbox(&(99_000_000_i32).to_be_bytes());
        assert!(announced.bytes.capacity() <= 64);
    }

    fn head(bytes: &[u8]) -> Result<(Head, usize), Closed> {
        let mut frame = Bytes::copy_from_slice(bytes);
        Head::take(&mut frame).map(|head| (head, frame.len()))
    }

    #[test]
    fn headers_end_where_their_version_says() {
        let start = |key: i16, version: i16| {
            [
                &key.to_be_bytes()[..],
                &version.to_be_bytes(),
                &[0, 0, 0, 9],
            ]
            .concat()
        };
        let check = |key, version, rest: &[u8], client_id: Option<&'static str>, body| {
            let client_id = client_id.map(StrBytes::from_static_str);
            let read = head(&[start(key, version), rest.to_vec()].concat());
            assert_eq!(
                read,
                Ok((
                    Head {
                        key,
                        version,
                        correlation_id: 9,
                        client_id
                    },
                    body
                ))
            );
        };
        check(3, 1, &[0, 1, b'c', 0, 0, 0, 0], Some("c"), 4);
        check(3, 1, &[0xff, 0xff, 0], None, 1);
        check(3, 9, &[0, 0, 0, 7], Some(""), 1);
        check(3, 9, &[0, 1, b'c', 1, 5, 2, 0, 0, 7, 7], Some("c"), 2);
        // An ApiVersions of a version to come has header 2, as Kafka reads it.
        check(18, 99, &[0, 1, b'c', 0, 7], Some("c"), 1);
        check(PEER_KEY_MIN, 0, &[0xff, 0xff, 7, 7], None, 2);
        for (rest, why) in [
            (&[][..], Closed::Header),
            (&[0, 5, b'c'], Closed::Header),
            (&[0xff, 0xfe], Closed::Header),
            (&[0, 1, 0xff], Closed::Header),
            (&[0, 0], Closed::Header),
            (&[0, 0, 1, 1], Closed::Header),
            (&[0, 0, 0xff, 0xff, 0xff, 0xff, 0xff], Closed::Header),
        ] {
            assert_eq!(
                head(&[start(3, 9), rest.to_vec()].concat()),
                Err(why),
                "{rest:?}"
            );
        }
        assert_eq!(head(&start(999, 0)), Err(Closed::UnknownApi));
        assert_eq!(head(&start(-1, 0)), Err(Closed::UnknownApi));
        assert_eq!(head(&[0, 3, 0]), Err(Closed::Header));
    }

    #[test]
    fn answers_carry_their_length_and_the_right_header() {
        let mut out = BytesMut::from(&b"before"[..]);
        let reply = ReplyTo {
            correlation_id: 9,
            flexible: true,
        };
        let written: Result<(), ()> = put_frame(&mut out, |out| {
            reply.put(out);
            out.put_slice(b"xyz");
            Ok(())
        });
        assert_eq!(written, Ok(()));
        assert_eq!(&out[..], b"before\0\0\0\x08\0\0\0\x09\0xyz");
        let failed = put_frame(&mut out, |out| {
            out.put_slice(b"half an answer");
            Err("no")
        });
        assert_eq!(failed, Err("no"));
        assert_eq!(out.len(), 18);
        let flexible = |api: ApiKey, version| {
            let head = Head {
                key: api as i16,
                version,
                correlation_id: 0,
                client_id: None,
            };
            ReplyTo::request(&head, api).flexible
        };
        assert!(!flexible(ApiKey::ApiVersions, 4));
        assert!(flexible(ApiKey::Metadata, 9));
        assert!(!flexible(ApiKey::Metadata, 8));
        assert!(flexible(ApiKey::BrokerHeartbeat, 2));
    }
}
