//! The part of etcd's v3 API that a store needs: messages as they are on the wire (written by hand, so
//! that a build needs no protoc), and gRPC calls. Decides nothing.

use std::marker::PhantomData;

use prost::Message;
use tonic::{
    Status,
    client::Grpc,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder, Streaming},
    codegen::http::uri::PathAndQuery,
    transport::Channel,
};

/// Calls and their paths.
pub const RANGE: &str = "/etcdserverpb.KV/Range";
pub const TXN: &str = "/etcdserverpb.KV/Txn";
pub const COMPACT: &str = "/etcdserverpb.KV/Compact";
pub const LEASE_GRANT: &str = "/etcdserverpb.Lease/LeaseGrant";
pub const LEASE_REVOKE: &str = "/etcdserverpb.Lease/LeaseRevoke";
const LEASE_KEEP_ALIVE: &str = "/etcdserverpb.Lease/LeaseKeepAlive";
const WATCH: &str = "/etcdserverpb.Watch/Watch";

#[derive(Clone, PartialEq, Message)]
pub struct Header {
    #[prost(int64, tag = "3")]
    pub revision: i64,
}

#[derive(Clone, PartialEq, Message)]
pub struct KeyValue {
    #[prost(bytes = "vec", tag = "1")]
    pub key: Vec<u8>,
    #[prost(int64, tag = "2")]
    pub create_revision: i64,
    #[prost(int64, tag = "3")]
    pub mod_revision: i64,
    #[prost(bytes = "vec", tag = "5")]
    pub value: Vec<u8>,
    #[prost(int64, tag = "6")]
    pub lease: i64,
}

#[derive(Clone, PartialEq, Message)]
pub struct RangeRequest {
    #[prost(bytes = "vec", tag = "1")]
    pub key: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    pub range_end: Vec<u8>,
    #[prost(int64, tag = "3")]
    pub limit: i64,
    #[prost(int64, tag = "4")]
    pub revision: i64,
    #[prost(bool, tag = "8")]
    pub keys_only: bool,
    #[prost(bool, tag = "9")]
    pub count_only: bool,
}

#[derive(Clone, PartialEq, Message)]
pub struct RangeResponse {
    #[prost(message, optional, tag = "1")]
    pub header: Option<Header>,
    #[prost(message, repeated, tag = "2")]
    pub kvs: Vec<KeyValue>,
    #[prost(int64, tag = "4")]
    pub count: i64,
}

#[derive(Clone, PartialEq, Message)]
pub struct PutRequest {
    #[prost(bytes = "vec", tag = "1")]
    pub key: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    pub value: Vec<u8>,
    #[prost(int64, tag = "3")]
    pub lease: i64,
}

#[derive(Clone, PartialEq, Message)]
pub struct DeleteRangeRequest {
    #[prost(bytes = "vec", tag = "1")]
    pub key: Vec<u8>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
pub enum Request {
    #[prost(message, tag = "1")]
    Range(RangeRequest),
    #[prost(message, tag = "2")]
    Put(PutRequest),
    #[prost(message, tag = "3")]
    DeleteRange(DeleteRangeRequest),
}

#[derive(Clone, PartialEq, Message)]
pub struct RequestOp {
    #[prost(oneof = "Request", tags = "1, 2, 3")]
    pub request: Option<Request>,
}

#[derive(Clone, PartialEq, Message)]
pub struct ResponseOp {
    /// The only answer that is looked at.
    #[prost(message, optional, tag = "1")]
    pub range: Option<RangeResponse>,
}

/// What of a key is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Enumeration)]
#[repr(i32)]
pub enum Target {
    Version = 0,
    Create = 1,
    Mod = 2,
}

/// "Equal to": the result 0, which is not written.
#[derive(Clone, PartialEq, Message)]
pub struct Compare {
    #[prost(enumeration = "Target", tag = "2")]
    pub target: i32,
    #[prost(bytes = "vec", tag = "3")]
    pub key: Vec<u8>,
    #[prost(oneof = "Compared", tags = "5, 6")]
    pub compared: Option<Compared>,
    #[prost(bytes = "vec", tag = "64")]
    pub range_end: Vec<u8>,
}

#[derive(Clone, Copy, PartialEq, prost::Oneof)]
pub enum Compared {
    #[prost(int64, tag = "5")]
    CreateRevision(i64),
    #[prost(int64, tag = "6")]
    ModRevision(i64),
}

#[derive(Clone, PartialEq, Message)]
pub struct TxnRequest {
    #[prost(message, repeated, tag = "1")]
    pub compare: Vec<Compare>,
    #[prost(message, repeated, tag = "2")]
    pub success: Vec<RequestOp>,
}

#[derive(Clone, PartialEq, Message)]
pub struct TxnResponse {
    #[prost(message, optional, tag = "1")]
    pub header: Option<Header>,
    #[prost(bool, tag = "2")]
    pub succeeded: bool,
    #[prost(message, repeated, tag = "3")]
    pub responses: Vec<ResponseOp>,
}

#[derive(Clone, PartialEq, Message)]
pub struct CompactionRequest {
    #[prost(int64, tag = "1")]
    pub revision: i64,
}

#[derive(Clone, PartialEq, Message)]
pub struct WatchRequest {
    #[prost(message, optional, tag = "1")]
    pub create: Option<WatchCreateRequest>,
}

/// Without fragments: a revision is never split over responses.
#[derive(Clone, PartialEq, Message)]
pub struct WatchCreateRequest {
    #[prost(bytes = "vec", tag = "1")]
    pub key: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    pub range_end: Vec<u8>,
    #[prost(int64, tag = "3")]
    pub start_revision: i64,
}

#[derive(Clone, PartialEq, Message)]
pub struct WatchResponse {
    #[prost(bool, tag = "3")]
    pub created: bool,
    #[prost(bool, tag = "4")]
    pub canceled: bool,
    #[prost(int64, tag = "5")]
    pub compact_revision: i64,
    #[prost(string, tag = "6")]
    pub cancel_reason: String,
    #[prost(message, repeated, tag = "11")]
    pub events: Vec<Event>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Event {
    /// 0: put, 1: deleted.
    #[prost(int32, tag = "1")]
    pub kind: i32,
    #[prost(message, optional, tag = "2")]
    pub kv: Option<KeyValue>,
}

#[derive(Clone, PartialEq, Message)]
pub struct LeaseGrantRequest {
    #[prost(int64, tag = "1")]
    pub ttl: i64,
}

#[derive(Clone, PartialEq, Message)]
pub struct LeaseGrantResponse {
    #[prost(int64, tag = "2")]
    pub id: i64,
    #[prost(string, tag = "4")]
    pub error: String,
}

#[derive(Clone, PartialEq, Message)]
pub struct LeaseRequest {
    #[prost(int64, tag = "1")]
    pub id: i64,
}

#[derive(Clone, PartialEq, Message)]
pub struct LeaseKeepAliveResponse {
    #[prost(int64, tag = "3")]
    pub ttl: i64,
}

/// An answer of which nothing is looked at.
#[derive(Clone, PartialEq, Message)]
pub struct Nothing {}

struct Protobuf<E, D>(PhantomData<fn(E) -> D>);

impl<E, D> Default for Protobuf<E, D> {
    fn default() -> Self {
        Protobuf(PhantomData)
    }
}

impl<E: Message + 'static, D: Message + Default + 'static> Codec for Protobuf<E, D> {
    type Encode = E;
    type Decode = D;
    type Encoder = Protobuf<E, D>;
    type Decoder = Protobuf<E, D>;
    fn encoder(&mut self) -> Self::Encoder {
        Protobuf::default()
    }
    fn decoder(&mut self) -> Self::Decoder {
        Protobuf::default()
    }
}

impl<E: Message, D> Encoder for Protobuf<E, D> {
    type Item = E;
    type Error = Status;
    fn encode(&mut self, item: E, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        item.encode(buffer).map_err(|error| Status::internal(format!("encoding: {error}")))
    }
}

impl<E, D: Message + Default> Decoder for Protobuf<E, D> {
    type Item = D;
    type Error = Status;
    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<D>, Status> {
        D::decode(buffer)
            .map(Some)
            .map_err(|error| Status::internal(format!("not a message of etcd: {error}")))
    }
}

/// A cold load and a burst of a watch are far above gRPC's usual 4 MiB.
const LARGEST: usize = i32::MAX as usize;

async fn ready(channel: Channel) -> Result<Grpc<Channel>, Status> {
    let mut client = Grpc::new(channel).max_decoding_message_size(LARGEST);
    client.ready().await.map_err(|error| Status::unavailable(format!("not connected: {error}")))?;
    Ok(client)
}

/// A member that knows no leader refuses instead of answering from the past.
fn with_leader<T>(message: T) -> tonic::Request<T> {
    let mut request = tonic::Request::new(message);
    request.metadata_mut().insert("hasleader", tonic::metadata::MetadataValue::from_static("true"));
    request
}

/// One question, one answer. Asked once, whatever happens.
pub async fn unary<Q, A>(channel: Channel, path: &'static str, question: Q) -> Result<A, Status>
where
    Q: Message + 'static,
    A: Message + Default + 'static,
{
    let mut client = ready(channel).await?;
    let codec = Protobuf::<Q, A>::default();
    let path = PathAndQuery::from_static(path);
    client.unary(with_leader(question), path, codec).await.map(tonic::Response::into_inner)
}

/// The stream of a watch; it lasts until dropped.
pub async fn watch(
    channel: Channel,
    create: WatchCreateRequest,
) -> Result<Streaming<WatchResponse>, Status> {
    let first = WatchRequest { create: Some(create) };
    stream(channel, WATCH, first).await
}

/// Renews a lease once, and gives what is left of it: nothing when it has ended.
pub async fn keep_alive(channel: Channel, lease: i64) -> Result<i64, Status> {
    let mut answers: Streaming<LeaseKeepAliveResponse> =
        stream(channel, LEASE_KEEP_ALIVE, LeaseRequest { id: lease }).await?;
    let answer = answers.message().await?;
    answer.map(|answer| answer.ttl).ok_or_else(|| Status::unavailable("no answer"))
}

async fn stream<Q, A>(
    channel: Channel,
    path: &'static str,
    first: Q,
) -> Result<Streaming<A>, Status>
where
    Q: Message + 'static,
    A: Message + Default + 'static,
{
    use futures_util::stream::{StreamExt as _, once, pending};
    let mut client = ready(channel).await?;
    let codec = Protobuf::<Q, A>::default();
    // Our side stays open: its end would end the call.
    let questions = once(async move { first }).chain(pending());
    let path = PathAndQuery::from_static(path);
    let answer = client.streaming(with_leader(questions), path, codec).await?;
    Ok(answer.into_inner())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As `etcdctl` of 3.4 sends them.
    #[test]
    fn messages_are_etcds() {
        let compare = Compare {
            target: Target::Create as i32,
            key: b"/a".to_vec(),
            compared: Some(Compared::CreateRevision(0)),
            range_end: b"/b".to_vec(),
        };
        let put = PutRequest { key: b"k".to_vec(), value: b"v".to_vec(), lease: 7 };
        let delete = DeleteRangeRequest { key: b"d".to_vec() };
        let operation = |request| RequestOp { request: Some(request) };
        let txn = TxnRequest {
            compare: vec![compare],
            success: vec![operation(Request::Put(put)), operation(Request::DeleteRange(delete))],
        };
        assert_eq!(
            txn.encode_to_vec(),
            b"\x0a\x0d\x10\x01\x1a\x02/a\x28\x00\x82\x04\x02/b\
              \x12\x0a\x12\x08\x0a\x01k\x12\x01v\x18\x07\x12\x05\x1a\x03\x0a\x01d"
        );
    }
}
