//! One connection that speaks Kafka frames, and may have several requests under way.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use kafka_protocol::messages::{
    AllocateProducerIdsRequest, ApiVersionsRequest, ApiVersionsResponse, RequestHeader,
    ResponseHeader,
};
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, Request, StrBytes};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// An answer that takes longer is an error.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
/// Between two questions to a controller that does not lead yet.
const ASK_AGAIN: Duration = Duration::from_millis(1);
/// No answer is bigger.
const FRAME_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Every subject knows ApiVersions in this version; older ones leave out features that may be absent.
const API_VERSIONS: i16 = 4;

/// What a controller said about itself.
pub(crate) struct Versions {
    answer: ApiVersionsResponse,
}

impl Versions {
    /// The newest version that both sides know.
    fn of<R: Request>(&self) -> Result<i16> {
        let served = self.answer.api_keys.iter().find(|it| it.api_key == R::KEY);
        let served = served.with_context(|| format!("api {} is not served", R::KEY))?;
        Ok(served.max_version.min(R::VERSIONS.max))
    }

    /// Features with the range of levels that the controller supports.
    pub(crate) fn features(&self) -> impl Iterator<Item = (StrBytes, i16, i16)> {
        let features = self.answer.supported_features.iter();
        features.map(|it| (it.name.clone(), it.min_version, it.max_version))
    }
}

/// A connection.
pub(crate) struct Client {
    stream: TcpStream,
    versions: Arc<Versions>,
    correlation_id: i32,
    inbox: BytesMut,
    out: BytesMut,
}

impl Client {
    /// Connects and asks what is spoken.
    pub(crate) async fn connect(address: &str) -> Result<Self> {
        let versions = Arc::new(Versions {
            answer: ApiVersionsResponse::default(),
        });
        let mut client = Self::connect_as(address, &versions).await?;
        let request = ApiVersionsRequest::default()
            .with_client_software_name(StrBytes::from_static_str("yakt-bench"))
            .with_client_software_version(StrBytes::from_static_str("1"));
        client.put(&request, API_VERSIONS)?;
        client.send().await?;
        let answer =
            tokio::time::timeout(PATIENCE, client.take::<ApiVersionsRequest>(API_VERSIONS));
        let answer = answer.await.context("ApiVersions is not answered")??;
        ensure!(
            answer.error_code == 0,
            "ApiVersions: error {}",
            answer.error_code
        );
        client.versions = Arc::new(Versions { answer });
        Ok(client)
    }

    /// Another connection to the same kind of controller.
    pub(crate) async fn connect_as(address: &str, versions: &Arc<Versions>) -> Result<Self> {
        let stream = tokio::time::timeout(PATIENCE, TcpStream::connect(address));
        let stream = stream.await.context("connecting takes too long")??;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            versions: Arc::clone(versions),
            correlation_id: 0,
            inbox: BytesMut::new(),
            out: BytesMut::new(),
        })
    }

    pub(crate) fn versions(&self) -> &Arc<Versions> {
        &self.versions
    }

    /// Asks, and waits for the answer.
    pub(crate) async fn call<R: Request>(&mut self, request: &R) -> Result<R::Response> {
        self.begin(request)?;
        self.send().await?;
        let answer = tokio::time::timeout(PATIENCE, self.answer::<R>()).await;
        answer.with_context(|| format!("no answer to api {} in {PATIENCE:?}", R::KEY))?
    }

    /// Asks again and again until the controller leads and says yes.
    pub(crate) async fn until_granted(
        &mut self,
        request: &AllocateProducerIdsRequest,
    ) -> Result<()> {
        let granted = async {
            while self.call(request).await?.error_code != 0 {
                tokio::time::sleep(ASK_AGAIN).await;
            }
            Ok(())
        };
        tokio::time::timeout(PATIENCE, granted)
            .await
            .context("nothing is granted")?
    }

    /// Puts a request behind those that [`Self::send`] will send.
    pub(crate) fn begin<R: Request>(&mut self, request: &R) -> Result<()> {
        self.put(request, self.versions.of::<R>()?)
    }

    fn put<R: Request>(&mut self, request: &R, version: i16) -> Result<()> {
        self.correlation_id = self.correlation_id.wrapping_add(1);
        let header = RequestHeader::default()
            .with_request_api_key(R::KEY)
            .with_request_api_version(version)
            .with_correlation_id(self.correlation_id)
            .with_client_id(Some(StrBytes::from_static_str("yakt-bench")));
        let start = self.out.len();
        self.out.put_i32(0);
        header.encode(&mut self.out, R::header_version(version))?;
        request.encode(&mut self.out, version)?;
        let length = i32::try_from(self.out.len() - start - 4)?;
        self.out[start..start + 4].copy_from_slice(&length.to_be_bytes());
        Ok(())
    }

    /// Sends what was begun.
    pub(crate) async fn send(&mut self) -> Result<()> {
        self.stream.write_all(&self.out).await?;
        self.out.clear();
        Ok(())
    }

    /// The answer to the oldest request under way. Waits without end: callers bound it.
    pub(crate) async fn answer<R: Request>(&mut self) -> Result<R::Response> {
        let version = self.versions.of::<R>()?;
        self.take::<R>(version).await
    }

    /// Whether a further answer has arrived whole.
    pub(crate) fn has_answer(&self) -> bool {
        self.inbox.len() >= 4 && (&self.inbox[..4]).get_i32() as usize <= self.inbox.len() - 4
    }

    async fn take<R: Request>(&mut self, version: i16) -> Result<R::Response> {
        let mut frame = self.frame().await?;
        ResponseHeader::decode(&mut frame, R::Response::header_version(version))?;
        R::Response::decode(&mut frame, version)
            .with_context(|| format!("answer to api {}", R::KEY))
    }

    async fn frame(&mut self) -> Result<Bytes> {
        while !self.has_answer() {
            if self.inbox.len() >= 4 {
                let length = (&self.inbox[..4]).get_u32() as usize;
                ensure!(length <= FRAME_BYTES_MAX, "an answer of {length} bytes");
                self.inbox.reserve(length);
            } else {
                self.inbox.reserve(16 * 1024);
            }
            if self.stream.read_buf(&mut self.inbox).await? == 0 {
                bail!("the connection was closed");
            }
        }
        let length = self.inbox.get_u32() as usize;
        Ok(self.inbox.split_to(length).freeze())
    }
}

/// An error code as an error.
pub(crate) fn ok(code: i16) -> Result<()> {
    match kafka_protocol::ResponseError::try_from_code(code) {
        None => Ok(()),
        Some(error) => bail!("{error}"),
    }
}
