//! The server on real sockets: both protocols, TLS, broken and slow clients, the end.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use base::{Result, World};
use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::{CertificateDer, ServerName};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::{mpsc, oneshot},
};
use web::{
    Call, Card, Envelope, Policy, Reply, Router, Service,
    server::{Options, Tls, bind, serve},
    testing::FixedActors,
};

/// What the handlers tell the test, and wait for.
#[derive(Clone)]
struct Context {
    told: mpsc::UnboundedSender<String>,
    go: Arc<tokio::sync::Semaphore>,
}

async fn hello(call: Call<Context>) -> Result<Reply> {
    let remote = call.remote.map(|address| address.to_string());
    Ok(Reply::ok(json!({"hello": call.actor.user_id, "remote": remote})))
}

async fn wait(call: Call<Context>) -> Result<Reply> {
    call.context.told.send("waiting".into()).expect("a test");
    call.context.go.acquire().await.expect("open").forget();
    Ok(Reply::ok(json!("waited")))
}

async fn upload(mut call: Call<Context>) -> Result<Reply> {
    let mut stream = call.take_stream();
    let mut length = 0;
    loop {
        match stream.chunk().await {
            None => break,
            Some(Ok(bytes)) => length += bytes.len(),
            Some(Err(error)) => {
                call.context.told.send(format!("cleaned up: {}", error.message())).expect("a test");
                return Err(error);
            }
        }
    }
    Ok(Reply::ok(json!(length)))
}

async fn download(call: Call<Context>) -> Result<Reply> {
    let chunk = Bytes::from(vec![7; 64 * 1024]);
    let count = call.query.get("chunks").map_or(160, |count| count.parse().expect("a number"));
    let chunks = futures_util::stream::iter((0..count).map(move |_| Ok(chunk.clone())));
    Ok(Reply::stream(200, "application/octet-stream", Box::pin(chunks)))
}

struct Server {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    ended: base::Task<()>,
    told: mpsc::UnboundedReceiver<String>,
    go: Arc<tokio::sync::Semaphore>,
}

async fn start(options: Options) -> Server {
    let world = World::real();
    let (told, hear) = mpsc::unbounded_channel();
    let go = Arc::new(tokio::sync::Semaphore::new(0));
    let any = Policy::AnyToken;
    let service =
        Service::new("x", "/x", Envelope::Plain, Context { told, go: go.clone() }).room(vec![
            Card::get("/hello", any, hello),
            Card::get("/wait", any, wait),
            Card::put("/file", any, upload).streaming(),
            Card::get("/file", any, download),
        ]);
    let router = Router::builder(world.clone(), Arc::new(FixedActors::usual()))
        .mount(service)
        .build()
        .expect("router");
    let listener = bind("127.0.0.1:0".parse().expect("address")).await.expect("listener");
    let address = listener.local_addr().expect("address");
    let (stop, stopped) = oneshot::channel();
    let ended = world.spawn(
        "server",
        serve(world.clone(), listener, router, options, async {
            let _ = stopped.await;
        }),
    );
    Server { address, stop, ended, told: hear, go }
}

fn run<F: Future<Output = ()>>(test: F) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("runtime");
    runtime.block_on(test);
}

async fn connect(server: &Server) -> TcpStream {
    TcpStream::connect(server.address).await.expect("a connection")
}

/// Reads an HTTP/1.1 answer with a `Content-Length`.
async fn answer(stream: &mut TcpStream) -> (u16, String) {
    let mut bytes = Vec::new();
    let head = loop {
        let at = bytes.windows(4).position(|window| window == b"\r\n\r\n");
        if let Some(at) = at {
            break at + 4;
        }
        let read = stream.read_buf(&mut bytes).await.expect("bytes");
        assert!(read > 0, "ended within a head: {}", String::from_utf8_lossy(&bytes));
    };
    let text = String::from_utf8_lossy(&bytes[..head]).to_lowercase();
    let length = text
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "))
        .map_or(0, |length| length.parse().expect("a length"));
    while bytes.len() < head + length {
        assert!(stream.read_buf(&mut bytes).await.expect("bytes") > 0, "ended within a body");
    }
    let status = text[9..12].parse().expect("a status");
    (status, String::from_utf8_lossy(&bytes[head..head + length]).into_owned())
}

const HELLO: &[u8] = b"GET /x/hello HTTP/1.1\r\nhost: x\r\nx-auth-token: demo\r\n\r\n";

#[test]
fn a_connection_is_kept() {
    run(async {
        let server = start(Options::default()).await;
        let mut stream = connect(&server).await;
        for _ in 0..3 {
            stream.write_all(HELLO).await.expect("written");
            let (status, body) = answer(&mut stream).await;
            assert_eq!((status, body.as_str()), (200, r#"{"hello":"demo","remote":"127.0.0.1"}"#));
        }
        // Two at once, answered in their order.
        stream
            .write_all(&[HELLO, b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n"].concat())
            .await
            .expect("sent");
        let mut bytes = Vec::new();
        while !bytes.ends_with(b"ok\n") {
            assert!(stream.read_buf(&mut bytes).await.expect("bytes") > 0);
        }
        assert!(String::from_utf8_lossy(&bytes).contains("\"hello\""));
    });
}

#[test]
fn nonsense_is_answered_or_cut_off() {
    run(async {
        let server = start(Options::default()).await;
        for nonsense in [
            b"\x16\x03\x01\x02\x00\x01\x00".as_slice(),
            b"GET\r\n\r\n",
            b"GET / HTTP/9.9\r\n\r\n",
            b"PUT /x/file HTTP/1.1\r\nhost: x\r\nx-auth-token: demo\r\ncontent-length: -1\r\n\r\n",
            b"PUT /x/file HTTP/1.1\r\nhost: x\r\ntransfer-encoding: nonsense\r\n\r\n",
        ] {
            let mut stream = connect(&server).await;
            stream.write_all(nonsense).await.expect("written");
            let mut bytes = Vec::new();
            // Ends by itself: a refusal and the end, or just the end.
            let _ = stream.read_to_end(&mut bytes).await;
            assert!(bytes.is_empty() || bytes.starts_with(b"HTTP/1.1 4"), "{nonsense:?} {bytes:?}");
        }
        let many: String = (0..200).map(|n| format!("x-{n}: 1\r\n")).collect();
        for head in [many, format!("x: {}\r\n", "y".repeat(200_000))] {
            let mut stream = connect(&server).await;
            let sent = format!("GET /healthz HTTP/1.1\r\nhost: x\r\n{head}\r\n");
            let _ = stream.write_all(sent.as_bytes()).await;
            let mut bytes = Vec::new();
            let _ = stream.read_to_end(&mut bytes).await;
            assert!(bytes.is_empty() || bytes.starts_with(b"HTTP/1.1 431"), "{bytes:?}");
        }
        let mut stream = connect(&server).await;
        stream.write_all(HELLO).await.expect("written");
        assert_eq!(answer(&mut stream).await.0, 200);
    });
}

#[test]
fn a_body_is_not_asked_for_in_vain() {
    run(async {
        let server = start(Options::default()).await;
        let head =
            "PUT /x/file HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\nexpect: 100-continue\r\n";
        let mut stream = connect(&server).await;
        stream
            .write_all(format!("{head}x-auth-token: bad\r\n\r\n").as_bytes())
            .await
            .expect("sent");
        assert_eq!(answer(&mut stream).await.0, 401);
        let mut stream = connect(&server).await;
        stream
            .write_all(format!("{head}x-auth-token: demo\r\n\r\n").as_bytes())
            .await
            .expect("sent");
        assert_eq!(answer(&mut stream).await.0, 100);
        stream.write_all(b"12345").await.expect("sent");
        assert_eq!(answer(&mut stream).await, (200, "5".into()));
    });
}

#[test]
fn an_upload_that_breaks_off_is_cleaned_up() {
    run(async {
        let mut server = start(Options::default()).await;
        let mut stream = connect(&server).await;
        let head =
            "PUT /x/file HTTP/1.1\r\nhost: x\r\nx-auth-token: demo\r\ncontent-length: 1000\r\n\r\n";
        stream.write_all(head.as_bytes()).await.expect("sent");
        stream.write_all(&[1; 500]).await.expect("sent");
        drop(stream);
        let told = server.told.recv().await.expect("told");
        assert_eq!(told, "cleaned up: The request's body ended too early.");
    });
}

#[test]
fn bulk_flows_both_ways() {
    run(async {
        let server = start(Options::default()).await;
        let stream = TokioIo::new(connect(&server).await);
        let (mut sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), stream).await.expect("h2");
        let world = World::real();
        world.spawn("client", async move { connection.await.expect("a connection") });
        let request = |method: &str, body: Bytes| {
            Request::builder()
                .method(method)
                .uri("http://x/x/file")
                .header("x-auth-token", "demo")
                .body(Full::new(body))
                .expect("request")
        };
        let body = Bytes::from(vec![1; 10 * 1024 * 1024]);
        let put = sender.send_request(request("PUT", body.clone())).await.expect("answer");
        let length = put.into_body().collect().await.expect("body").to_bytes();
        assert_eq!(length, body.len().to_string());
        let get = sender.send_request(request("GET", Bytes::new())).await.expect("answer");
        let bytes = get.into_body().collect().await.expect("body").to_bytes();
        assert_eq!(bytes.len(), 160 * 64 * 1024);
        assert!(bytes.iter().all(|byte| *byte == 7));
    });
}

#[test]
fn tls() {
    run(async {
        let made = rcgen::generate_simple_self_signed(["cloud.test".to_owned()]).expect("made");
        let (chain, key) = (made.cert.pem(), made.signing_key.serialize_pem());
        let tls = Tls::from_pem(chain.as_bytes(), key.as_bytes()).expect("tls");
        let server = start(Options { tls: Some(tls), ..Options::default() }).await;
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from(made.cert.der().to_vec())).expect("root");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        for (offer, chosen) in [("h2", Some("h2")), ("http/1.1", Some("http/1.1")), ("", None)] {
            let mut config = rustls::ClientConfig::builder_with_provider(provider.clone())
                .with_safe_default_protocol_versions()
                .expect("versions")
                .with_root_certificates(roots.clone())
                .with_no_client_auth();
            if !offer.is_empty() {
                config.alpn_protocols = vec![offer.as_bytes().to_vec()];
            }
            let name = ServerName::try_from("cloud.test").expect("name");
            let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
            let mut stream = connector.connect(name, connect(&server).await).await.expect("tls");
            let alpn = stream.get_ref().1.alpn_protocol().map(<[u8]>::to_vec);
            assert_eq!(alpn.as_deref(), chosen.map(str::as_bytes));
            if offer != "h2" {
                stream.write_all(HELLO).await.expect("sent");
                let mut bytes = Vec::new();
                while !bytes.ends_with(b"}") {
                    assert!(stream.read_buf(&mut bytes).await.expect("bytes") > 0);
                }
                assert!(bytes.starts_with(b"HTTP/1.1 200"));
            }
        }
        // Plain speech to a TLS port ends.
        let mut stream = connect(&server).await;
        stream.write_all(HELLO).await.expect("sent");
        let mut bytes = Vec::new();
        let _ = stream.read_to_end(&mut bytes).await;
        assert!(!bytes.starts_with(b"HTTP"));
    });
}

#[test]
fn wrong_pem_is_refused() {
    let made = rcgen::generate_simple_self_signed(["a".to_owned()]).expect("made");
    let other = rcgen::generate_simple_self_signed(["b".to_owned()]).expect("made");
    let (chain, key) = (made.cert.pem(), other.signing_key.serialize_pem());
    for (chain, key) in [("", key.as_str()), (&chain, ""), (&chain, "nonsense"), (&chain, &key)] {
        assert!(Tls::from_pem(chain.as_bytes(), key.as_bytes()).is_err());
    }
}

#[test]
fn what_is_at_work_is_finished_before_the_end() {
    run(async {
        let mut server = start(Options::default()).await;
        let mut busy = connect(&server).await;
        let mut idle = connect(&server).await;
        idle.write_all(HELLO).await.expect("sent");
        answer(&mut idle).await;
        busy.write_all(b"GET /x/wait HTTP/1.1\r\nhost: x\r\nx-auth-token: demo\r\n\r\n")
            .await
            .expect("sent");
        assert_eq!(server.told.recv().await.as_deref(), Some("waiting"));
        server.stop.send(()).expect("told to stop");
        // Who is idle is let go.
        let mut rest = Vec::new();
        let _ = idle.read_to_end(&mut rest).await;
        assert!(rest.is_empty());
        assert!(!server.ended.is_finished(), "a request is at work");
        server.go.add_permits(1);
        assert_eq!(answer(&mut busy).await, (200, "\"waited\"".into()));
        server.ended.await.expect("ended well");
        assert!(TcpStream::connect(server.address).await.is_err(), "nobody listens any more");
    });
}

#[test]
fn grace_ends() {
    run(async {
        let options = Options { grace: Duration::from_millis(50), ..Options::default() };
        let mut server = start(options).await;
        let mut busy = connect(&server).await;
        busy.write_all(b"GET /x/wait HTTP/1.1\r\nhost: x\r\nx-auth-token: demo\r\n\r\n")
            .await
            .expect("sent");
        assert_eq!(server.told.recv().await.as_deref(), Some("waiting"));
        server.stop.send(()).expect("told to stop");
        server.ended.await.expect("ended although a request never does");
    });
}

#[test]
fn who_says_nothing_is_cut_off() {
    run(async {
        let options = Options { idle: Duration::from_millis(100), ..Options::default() };
        let server = start(options).await;
        for said in [b"".as_slice(), b"GET /healthz HTT", b"PRI * HT", b"P"] {
            let mut stream = connect(&server).await;
            stream.write_all(said).await.expect("sent");
            let mut bytes = Vec::new();
            // Without a limit this would never end.
            let _ = stream.read_to_end(&mut bytes).await;
        }
    });
}

#[test]
fn who_takes_nothing_is_cut_off() {
    run(async {
        let options =
            Options { idle: Duration::from_millis(200), connections: 1, ..Options::default() };
        let server = start(options).await;
        let mut greedy = connect(&server).await;
        // More than any socket's buffers hold.
        let ask = b"GET /x/file?chunks=4000 HTTP/1.1\r\nhost: x\r\nx-auth-token: demo\r\n\r\n";
        greedy.write_all(ask).await.expect("sent");
        // The only place is free again, although the first client still holds its end.
        let mut second = connect(&server).await;
        second.write_all(HELLO).await.expect("sent");
        assert_eq!(answer(&mut second).await.0, 200);
        drop(greedy);
    });
}

#[test]
fn connections_are_bounded() {
    run(async {
        let server = start(Options { connections: 1, ..Options::default() }).await;
        let mut first = connect(&server).await;
        first.write_all(HELLO).await.expect("sent");
        answer(&mut first).await;
        let mut second = connect(&server).await;
        second.write_all(HELLO).await.expect("sent");
        // The first is still served, the second waits for its end.
        first.write_all(HELLO).await.expect("sent");
        answer(&mut first).await;
        assert!(
            second.try_read(&mut [0; 1]).is_err_and(|e| e.kind() == std::io::ErrorKind::WouldBlock)
        );
        drop(first);
        assert_eq!(answer(&mut second).await.0, 200);
    });
}
