//! DescribeLogDirs (35): as a broker that has no log directory.

use kafka_protocol::messages::{DescribeLogDirsRequest, DescribeLogDirsResponse};

use crate::api::Read;
use crate::rules::View;

impl Read for DescribeLogDirsRequest {
    /// No error and no directory: the metadata directory holds no topic that can be asked for.
    fn answer(&self, _view: &View<'_>) -> DescribeLogDirsResponse {
        DescribeLogDirsResponse::default()
    }
}
