//! A TCP proxy before a member, which cuts a connection at the worst moments.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU8, AtomicU64, Ordering},
    },
    time::Duration,
};

use base::World;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

/// What happens next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Mode {
    Pass = 0,
    /// The next bytes of a client are not passed on; its connection is cut.
    CutQuestion = 1,
    /// The next bytes of a client are passed on; answers are not, and its connection is cut.
    CutAnswer = 2,
    /// As `CutQuestion`, but it is not cut: nothing comes any more.
    Swallow = 3,
}

#[derive(Clone)]
pub struct Proxy {
    world: World,
    mode: Arc<AtomicU8>,
    cuts: Arc<AtomicU64>,
    pub address: SocketAddr,
}

impl Proxy {
    pub async fn start(world: &World, port: u16) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let (mode, cuts) = (Arc::default(), Arc::default());
        let proxy = Proxy { world: world.clone(), mode, cuts, address };
        let inside = proxy.clone();
        world.spawn("proxy", async move {
            while let Ok((client, _)) = listener.accept().await {
                let proxy = inside.clone();
                inside.world.spawn("proxied", async move {
                    if let Ok(member) = TcpStream::connect(("127.0.0.1", port)).await {
                        proxy.carry(client, member).await;
                    }
                });
            }
        });
        proxy
    }

    /// For the next bytes of any client, once.
    pub fn next(&self, mode: Mode) {
        self.mode.store(mode as u8, Ordering::SeqCst);
    }

    /// How often something was cut.
    pub fn cuts(&self) -> u64 {
        self.cuts.load(Ordering::SeqCst)
    }

    fn take(&self) -> Mode {
        match self.mode.swap(Mode::Pass as u8, Ordering::SeqCst) {
            1 => Mode::CutQuestion,
            2 => Mode::CutAnswer,
            3 => Mode::Swallow,
            _ => Mode::Pass,
        }
    }

    async fn carry(&self, client: TcpStream, member: TcpStream) {
        let (mut from_client, mut to_client) = client.into_split();
        let (mut from_member, mut to_member) = member.into_split();
        let (mut question, mut answer) = (vec![0; 65_536], vec![0; 65_536]);
        let mut deaf = false;
        loop {
            tokio::select! {
                biased;
                read = from_client.read(&mut question) => {
                    let Ok(size @ 1..) = read else { return };
                    let mode = if deaf { Mode::Swallow } else { self.take() };
                    match mode {
                        Mode::Pass => {}
                        Mode::CutQuestion => {
                            self.cuts.fetch_add(1, Ordering::SeqCst);
                            return;
                        }
                        Mode::CutAnswer => {
                            self.cuts.fetch_add(1, Ordering::SeqCst);
                            // A question may come in pieces; this is long enough for any.
                            let _ = to_member.write_all(&question[..size]).await;
                            let rest = tokio::io::copy(&mut from_client, &mut to_member);
                            let _ = self.world.timeout(Duration::from_secs(1), rest).await;
                            return;
                        }
                        Mode::Swallow => {
                            if !deaf {
                                self.cuts.fetch_add(1, Ordering::SeqCst);
                            }
                            deaf = true;
                            continue;
                        }
                    }
                    if to_member.write_all(&question[..size]).await.is_err() {
                        return;
                    }
                }
                read = from_member.read(&mut answer), if !deaf => {
                    let Ok(size @ 1..) = read else { return };
                    if to_client.write_all(&answer[..size]).await.is_err() {
                        return;
                    }
                }
            }
        }
    }
}
