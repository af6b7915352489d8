//! The carrier over real sockets on loopback: messages arrive, strangers are refused.

#![expect(clippy::unwrap_used, reason = "a test whose helper fails has failed")]

use std::{net::SocketAddr, ops::Range, sync::Arc, time::Duration};

use async_trait::async_trait;
use base::{Era, Result, Secret, World};
use bytes::Bytes;
use carrier::{Controllers, Identity, PeerClient, RemoteImages, Served, Server};
use orders::{
    Answer, Connector, ControllerEnd, ImageRef, ImageSource, Question, ToController, ToNode,
};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

const ANY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

struct Echo;

#[async_trait]
impl Served for Echo {
    async fn link(&self, mut end: ControllerEnd) {
        let name = end.certified_name.clone().unwrap_or_else(|| "nobody".into());
        let welcome = ToNode::Welcome { controller: name, era: Era("e".into()) };
        end.sender.send(welcome).await.unwrap();
        while let Some(message) = end.receiver.recv().await {
            if let ToController::Beat(number) = message {
                end.sender.send(ToNode::Beat(number)).await.unwrap();
            }
        }
    }
    async fn ask_here(&self, node: &str, _: &Question) -> Result<Option<Answer>> {
        Ok((node == "here").then(|| Answer::Text("hello".into())))
    }
    fn images(&self) -> Arc<dyn ImageSource> {
        Arc::new(Zeros)
    }
}

struct Zeros;

#[async_trait]
impl ImageSource for Zeros {
    async fn fetch(&self, _: &ImageRef, range: Range<u64>) -> Result<Bytes> {
        Ok(vec![0; usize::try_from(range.end - range.start).unwrap()].into())
    }
}

struct Ca(CertifiedIssuer<'static, KeyPair>);

impl Ca {
    fn new() -> Ca {
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Ca(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    fn identity(&self, name: &str) -> Identity {
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let key = KeyPair::generate().unwrap();
        let cert = params.signed_by(&key, &self.0).unwrap();
        Identity { ca: self.0.pem(), cert: cert.pem(), key: Secret::new(key.serialize_pem()) }
    }
}

const CONTROLLER: &str = "controller.everstack.internal";

async fn exchange(world: &World, server: &Server, identity: Option<Identity>) -> Result<String> {
    let to = vec![server.address().to_string()];
    let mut end = Controllers::new(world, to, identity).connect().await?;
    let within = Duration::from_secs(20);
    let lost = |_| base::Error::unavailable("nothing came");
    let first = world.timeout(within, end.receiver.recv()).await.map_err(lost)?;
    let Some(ToNode::Welcome { controller, .. }) = first else {
        return Err(base::Error::unavailable("no welcome"));
    };
    for number in 0..100 {
        end.sender.send(ToController::Beat(number)).await.unwrap();
        let beat = world.timeout(within, end.receiver.recv()).await.map_err(lost)?;
        assert_eq!(beat, Some(ToNode::Beat(number)));
    }
    Ok(controller)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_go_both_ways_without_tls() {
    let world = World::real();
    let server = Server::start(&world, ANY, None, Arc::new(Echo)).await.unwrap();
    assert_eq!(exchange(&world, &server, None).await.unwrap(), "nobody");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_names_the_node() {
    let (world, ca) = (World::real(), Ca::new());
    let own = ca.identity(CONTROLLER);
    let server = Server::start(&world, ANY, Some(&own), Arc::new(Echo)).await.unwrap();
    let name = exchange(&world, &server, Some(ca.identity("node-7"))).await.unwrap();
    assert_eq!(name, "node-7");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_are_refused_on_both_ends() {
    let (world, ca, other) = (World::real(), Ca::new(), Ca::new());
    let own = ca.identity(CONTROLLER);
    let server = Server::start(&world, ANY, Some(&own), Arc::new(Echo)).await.unwrap();
    // A node of another cloud, though it trusts this one.
    let foreign = Identity { ca: ca.identity("x").ca, ..other.identity("node-7") };
    assert!(exchange(&world, &server, Some(foreign)).await.is_err());
    // A node that does not trust this cloud.
    let wary = Identity { ca: other.identity("x").ca, ..ca.identity("node-7") };
    assert!(exchange(&world, &server, Some(wary)).await.is_err());
    // A node that plays the controller.
    let fake =
        Server::start(&world, ANY, Some(&ca.identity("node-8")), Arc::new(Echo)).await.unwrap();
    assert!(exchange(&world, &fake, Some(ca.identity("node-7"))).await.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn images_come_in_parts_and_questions_only_from_controllers() {
    let (world, ca) = (World::real(), Ca::new());
    let own = ca.identity(CONTROLLER);
    let server = Server::start(&world, ANY, Some(&own), Arc::new(Echo)).await.unwrap();
    let address = server.address().to_string();
    let node = ca.identity("node-7");
    let images =
        RemoteImages::new(Controllers::new(&world, vec![address.clone()], Some(node.clone())));
    let size = 20 * 1024 * 1024;
    let image = ImageRef {
        id: "i".into(),
        size,
        sha512: String::new(),
        disk_format: "raw".into(),
        virtual_size: size,
    };
    let mut got = 0;
    while got < size {
        let part = images.fetch(&image, got..size).await.unwrap();
        assert!(!part.is_empty());
        got += part.len() as u64;
    }
    let question = Question::Diagnostics { vm: "v".into() };
    let peers = PeerClient::new(Some(own));
    let answer = peers.ask(&address, "here", question.clone()).await.unwrap();
    assert_eq!(answer, Some(Answer::Text("hello".into())));
    assert_eq!(peers.ask(&address, "elsewhere", question.clone()).await.unwrap(), None);
    assert!(PeerClient::new(Some(node)).ask(&address, "here", question).await.is_err());
}
