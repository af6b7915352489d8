//! A session with one QEMU: commands go out numbered, answers find who asked, events are kept until
//! they are fetched. The session ends with the socket, or when its client is dropped.

use std::{
    collections::VecDeque,
    io::{self, IoSlice},
    mem::MaybeUninit,
    os::fd::{AsFd, BorrowedFd},
    sync::{Arc, Mutex},
    time::Duration,
};

use base::{Error, Map, Result, Task, World};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use serde_json::{Value, json};
use tokio::{
    io::Interest,
    net::UnixStream,
    sync::{Notify, oneshot},
};

use super::message::{Event, Message, Version};
use crate::drivers::hypervisor::lock;

/// QEMU's longest answers (schemas, block statistics) have some hundred KiB.
const LONGEST_LINE: usize = 16 << 20;
/// Events that nobody fetched: the oldest are dropped beyond this.
const MOST_EVENTS: usize = 1024;

/// One session. Clones share it.
#[derive(Clone)]
pub struct Client {
    shared: Arc<Shared>,
    /// Reads; ends with the last clone.
    _reader: Arc<Reader>,
}

struct Reader(Task<()>);

impl Drop for Reader {
    fn drop(&mut self) {
        self.0.abort();
    }
}

struct Shared {
    world: World,
    stream: UnixStream,
    writing: tokio::sync::Mutex<()>,
    state: Mutex<State>,
    bell: Notify,
    version: Version,
}

#[derive(Default)]
struct State {
    last: u64,
    waiting: Map<u64, oneshot::Sender<Result<Value>>>,
    events: VecDeque<Event>,
    missed: bool,
    closed: bool,
}

/// What is left of a [`State`] while the session runs: events, in order.
#[derive(Clone, Debug, PartialEq)]
pub struct Events {
    /// Since the last call.
    pub events: Vec<Event>,
    /// Some were dropped because nobody fetched them in time: ask for the state itself.
    pub missed: bool,
    /// The session is over.
    pub closed: bool,
}

impl Client {
    /// Greets QEMU at the other end of this stream.
    pub async fn greet(world: &World, stream: UnixStream, deadline: Duration) -> Result<Client> {
        let mut lines = Lines::default();
        let greeting = async {
            loop {
                match Message::read(&lines.next(&stream).await?) {
                    Message::Greeting(version) => return Ok::<_, io::Error>(version),
                    _ => tracing::debug!("a line before QEMU's greeting is ignored"),
                }
            }
        };
        let version = match world.timeout(deadline, greeting).await {
            Ok(Ok(version)) => version,
            Ok(Err(error)) => return Err(lost(&error)),
            Err(_) => return Err(Error::unavailable("QEMU's monitor does not greet.")),
        };
        let shared = Arc::new(Shared {
            world: world.clone(),
            stream,
            writing: tokio::sync::Mutex::new(()),
            state: Mutex::default(),
            bell: Notify::new(),
            version,
        });
        let reader = world.spawn("qmp", read(shared.clone(), lines));
        let client = Client { shared, _reader: Arc::new(Reader(reader)) };
        client.ask("qmp_capabilities", json!({}), deadline).await?;
        Ok(client)
    }

    /// QEMU's version, as it greeted.
    pub fn version(&self) -> Version {
        self.shared.version
    }

    /// Asks for one command and waits for its answer. Keys go out as given: some of QEMU's have `-`,
    /// some `_`.
    pub async fn ask(&self, command: &str, arguments: Value, deadline: Duration) -> Result<Value> {
        self.ask_with(command, arguments, None, deadline).await
    }

    /// The same with an open file, which QEMU takes over (`getfd`, `add-fd`).
    pub async fn ask_with_file(
        &self,
        command: &str,
        arguments: Value,
        file: BorrowedFd<'_>,
        deadline: Duration,
    ) -> Result<Value> {
        self.ask_with(command, arguments, Some(file), deadline).await
    }

    /// Several commands in one write, so that nothing comes between them; the answer to the last.
    pub async fn ask_together(
        &self,
        commands: &[(&str, Value)],
        deadline: Duration,
    ) -> Result<Value> {
        let mut answers = Vec::with_capacity(commands.len());
        let mut text = Vec::new();
        for (command, arguments) in commands {
            let (line, answer) = self.number(command, arguments)?;
            text.extend(line);
            answers.push((*command, answer));
        }
        let asked = async {
            self.write(&text, None).await?;
            let mut last = Value::Null;
            for (command, answer) in answers {
                last = take(command, answer).await?;
            }
            Ok(last)
        };
        self.within(deadline, "several commands", asked).await
    }

    async fn ask_with(
        &self,
        command: &str,
        arguments: Value,
        file: Option<BorrowedFd<'_>>,
        deadline: Duration,
    ) -> Result<Value> {
        let (line, answer) = self.number(command, &arguments)?;
        let asked = async {
            self.write(&line, file).await?;
            take(command, answer).await
        };
        self.within(deadline, command, asked).await
    }

    async fn within<T>(
        &self,
        deadline: Duration,
        what: &str,
        work: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        match self.shared.world.timeout(deadline, work).await {
            Ok(done) => done,
            Err(_) => Err(Error::unavailable(format!(
                "QEMU did not answer {what} within {} s.",
                deadline.as_secs()
            ))),
        }
    }

    fn number(
        &self,
        command: &str,
        arguments: &Value,
    ) -> Result<(Vec<u8>, oneshot::Receiver<Result<Value>>)> {
        let (tell, answer) = oneshot::channel();
        let mut state = lock(&self.shared.state);
        if state.closed {
            return Err(Error::unavailable("QEMU's monitor has closed."));
        }
        state.last += 1;
        let id = state.last;
        // Those who gave up waiting are forgotten; their answers find nobody.
        state.waiting.retain(|_, waiting| !waiting.is_closed());
        state.waiting.insert(id, tell);
        let line = json!({"execute": command, "arguments": arguments, "id": id});
        Ok((format!("{line}\n").into_bytes(), answer))
    }

    async fn write(&self, mut bytes: &[u8], mut file: Option<BorrowedFd<'_>>) -> Result<()> {
        let _alone = self.shared.writing.lock().await;
        let stream = &self.shared.stream;
        while !bytes.is_empty() {
            stream.writable().await.map_err(|e| lost(&e))?;
            let sent = stream.try_io(Interest::WRITABLE, || send(stream, bytes, file));
            match sent {
                Ok(sent) => {
                    // The file goes with the first byte.
                    file = None;
                    bytes = &bytes[sent.min(bytes.len())..];
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(lost(&error)),
            }
        }
        Ok(())
    }

    /// What happened since the last call; waits for the first, or for the end of the session.
    pub async fn events(&self) -> Events {
        loop {
            {
                let mut state = lock(&self.shared.state);
                if state.closed || !state.events.is_empty() {
                    return Events {
                        events: state.events.drain(..).collect(),
                        missed: std::mem::take(&mut state.missed),
                        closed: state.closed,
                    };
                }
            }
            self.shared.bell.notified().await;
        }
    }
}

fn lost(error: &io::Error) -> Error {
    Error::unavailable(format!("QEMU's monitor is gone: {error}."))
}

async fn take(command: &str, answer: oneshot::Receiver<Result<Value>>) -> Result<Value> {
    match answer.await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => {
            Err(Error::new(error.kind(), format!("QEMU refused {command}: {}", error.message())))
        }
        Err(_) => Err(Error::unavailable(format!("QEMU ended before it answered {command}."))),
    }
}

fn send(stream: &UnixStream, bytes: &[u8], file: Option<BorrowedFd<'_>>) -> io::Result<usize> {
    let files = file.map(|file| [file]);
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if let Some(files) = &files
        && !ancillary.push(SendAncillaryMessage::ScmRights(files))
    {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let sent = sendmsg(
        stream.as_fd(),
        &[IoSlice::new(bytes)],
        &mut ancillary,
        SendFlags::NOSIGNAL | SendFlags::DONTWAIT,
    )?;
    Ok(sent)
}

async fn read(shared: Arc<Shared>, mut lines: Lines) {
    loop {
        let line = lines.next(&shared.stream).await;
        let mut state = lock(&shared.state);
        let line = match line {
            Ok(line) => line,
            Err(error) => {
                tracing::debug!("QEMU's monitor ended: {error}");
                state.closed = true;
                state.waiting.clear();
                shared.bell.notify_one();
                return;
            }
        };
        match Message::read(&line) {
            Message::Return(Some(id), value) => {
                if let Some(waiting) = state.waiting.remove(&id) {
                    let _ = waiting.send(Ok(value));
                }
            }
            Message::Error(Some(id), class, sentence) => {
                if let Some(waiting) = state.waiting.remove(&id) {
                    let error = match &*class {
                        "DeviceNotFound" | "CommandNotFound" => Error::not_found(sentence),
                        _ => Error::conflict(sentence),
                    };
                    let _ = waiting.send(Err(error));
                }
            }
            Message::Event(event) => {
                if state.events.len() >= MOST_EVENTS {
                    state.events.pop_front();
                    state.missed = true;
                }
                state.events.push_back(event);
                shared.bell.notify_one();
            }
            Message::Error(None, class, sentence) => {
                tracing::warn!(class, "QEMU complains of no command in particular: {sentence}");
            }
            Message::Greeting(_) | Message::Return(None, _) | Message::Unknown => {
                tracing::debug!("a line of QEMU's monitor is ignored");
            }
        }
    }
}

/// Bytes to lines.
#[derive(Default)]
struct Lines {
    buffer: Vec<u8>,
    /// No line end before this.
    searched: usize,
}

impl Lines {
    async fn next(&mut self, stream: &UnixStream) -> io::Result<Vec<u8>> {
        loop {
            if let Some(at) = self.buffer[self.searched..].iter().position(|b| *b == b'\n') {
                let rest = self.buffer.split_off(self.searched + at + 1);
                self.searched = 0;
                return Ok(std::mem::replace(&mut self.buffer, rest));
            }
            self.searched = self.buffer.len();
            if self.buffer.len() > LONGEST_LINE {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "a line without end"));
            }
            stream.readable().await?;
            match stream.try_read_buf(&mut self.buffer) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
    }
}
