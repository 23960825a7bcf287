//! What the tests of reads share: a world to ask in, and a check that the answer can be encoded.

use kafka_protocol::protocol::{Decodable, Encodable};

use crate::api::Read;
use crate::ids::QuorumView;
use crate::image::Image;
use crate::rules::{Caller, View};
use crate::settings::Settings;

/// Everything that a read looks at.
pub(crate) struct World {
    pub(crate) image: Image,
    pub(crate) quorum: QuorumView,
    pub(crate) caller: Caller,
    pub(crate) settings: Settings,
}

impl Default for World {
    fn default() -> Self {
        Self {
            image: Image::default(),
            quorum: QuorumView::default(),
            caller: Caller::internal(),
            settings: Settings::default(),
        }
    }
}

impl World {
    /// The answer as a client of this version decodes it.
    pub(crate) fn answer<R: Read>(&self, request: &R, version: i16) -> R::Response {
        let Self {
            image,
            quorum,
            caller,
            settings,
        } = self;
        let response = request.answer(&View {
            image,
            quorum,
            caller,
            settings,
            version,
        });
        let mut bytes = bytes::BytesMut::new();
        response
            .encode(&mut bytes, version)
            .expect("the answer can be said in this version");
        R::Response::decode(&mut bytes.freeze(), version).expect("and read by a client")
    }
}

/// The answer in an empty world.
pub(crate) fn answer<R: Read>(request: &R, version: i16) -> R::Response {
    World::default().answer(request, version)
}
