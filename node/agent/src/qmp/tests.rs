//! The client against recorded sessions of QEMU 7.2, as they were and with all that a newer QEMU could
//! add; against broken and hostile ends; and the reader against any bytes.

use std::{
    io::{IoSliceMut, Read, Seek, SeekFrom, Write},
    mem::MaybeUninit,
    os::fd::AsFd,
    time::Duration,
};

use base::{Kind, World};
use proptest::prelude::*;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Interest},
    net::UnixStream,
};

use super::{Client, Message, Version};

const LIFE: &str = include_str!("recordings/qemu-7.2-life.txt");
const FOUND_AGAIN: &str = include_str!("recordings/qemu-7.2-found-again.txt");
const PATIENCE: Duration = Duration::from_secs(10);

/// A line of a recording.
enum Line {
    ToQemu(Value),
    FromQemu(Value),
}

fn lines(recording: &str) -> Vec<Line> {
    let read = |text: &str| serde_json::from_str(text).expect("recorded JSON");
    recording
        .lines()
        .map(|line| match line.split_at(2) {
            ("> ", text) => Line::ToQemu(read(text)),
            ("< ", text) => Line::FromQemu(read(text)),
            _ => panic!("a line of no recording: {line}"),
        })
        .collect()
}

/// What a newer QEMU could say beside what was recorded.
#[derive(Clone, Copy, PartialEq)]
enum Age {
    Recorded,
    Newer,
}

/// Adds unknown fields to an object and all objects in it.
fn renew(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.values_mut().for_each(renew);
            fields.insert("x-of-a-newer-qemu".to_owned(), json!({"event": 1, "id": [null]}));
        }
        Value::Array(values) => values.iter_mut().for_each(renew),
        _ => {}
    }
}

fn unknown_lines() -> Vec<String> {
    [
        json!({"event": "X_NEVER_HEARD_OF", "data": {"a": [1, {"b": null}]},
               "timestamp": {"seconds": 1, "microseconds": 2}}),
        json!({"event": "X_WITHOUT_ANYTHING"}),
        json!({"event": "X_STRANGE", "data": "text", "timestamp": "now"}),
        json!({"event": 7}),
        json!({"return": {}, "id": "of-somebody-else"}),
        json!({"return": {}}),
        json!({"return": {}, "id": 999_999}),
        json!({"error": {"class": "GenericError", "desc": "about nothing"}}),
        json!({"error": 5, "id": 888_888}),
        json!({"x-new-kind-of-message": true}),
        json!([1, 2]),
        json!(null),
    ]
    .iter()
    .map(Value::to_string)
    .chain(["".to_owned(), "not JSON".to_owned(), "{\"return\":".to_owned()])
    .collect()
}

/// Plays QEMU's part; the other end is the client's. `chunk`: bytes of each write.
async fn play(stream: UnixStream, recording: Vec<Line>, age: Age, chunk: usize) {
    let (read, mut write) = stream.into_split();
    let mut commands = BufReader::new(read).lines();
    let mut last_id = Value::Null;
    for line in recording {
        match line {
            Line::ToQemu(recorded) => {
                let text = commands.next_line().await.expect("a line").expect("a command");
                let command: Value = serde_json::from_str(&text).expect("JSON");
                assert_eq!(command["execute"], recorded["execute"]);
                assert_eq!(command["arguments"], recorded["arguments"]);
                last_id = command["id"].clone();
            }
            Line::FromQemu(mut said) => {
                if said.get("id").is_some() {
                    said["id"] = last_id.clone();
                }
                let mut text = String::new();
                if age == Age::Newer {
                    renew(&mut said);
                    for unknown in unknown_lines() {
                        text += &unknown;
                        text += "\r\n";
                    }
                }
                text += &said.to_string();
                text += "\r\n";
                for some in text.as_bytes().chunks(chunk) {
                    write.write_all(some).await.expect("the client listens");
                }
            }
        }
    }
}

/// Goes through a recording as a client: every answer is the recorded one, every event arrives.
async fn replay(recording: &'static str, age: Age, chunk: usize) {
    let world = World::real();
    let (ours, theirs) = UnixStream::pair().expect("a pair");
    let qemu = world.spawn("qemu", play(theirs, lines(recording), age, chunk));
    let client = Client::greet(&world, ours, PATIENCE).await.expect("greeted");
    assert_eq!(client.version(), Version { major: 7, minor: 2, micro: 22 });
    let (mut answers, mut events) = (Vec::new(), Vec::new());
    let mut command = None;
    for line in lines(recording) {
        match line {
            Line::ToQemu(sent) => command = Some(sent),
            Line::FromQemu(said) if said.get("event").is_some() => events.push(said),
            Line::FromQemu(said) if said.get("id").is_some() => {
                answers.push((command.take().expect("a command"), said));
            }
            Line::FromQemu(_) => {}
        }
    }
    // The first is the greeting's.
    for (command, mut said) in answers.into_iter().skip(1) {
        let name = command["execute"].as_str().expect("a name");
        let answer = client.ask(name, command["arguments"].clone(), PATIENCE).await;
        if age == Age::Newer {
            renew(&mut said);
        }
        match (answer, said.get("return")) {
            (Ok(answer), Some(recorded)) => assert_eq!(answer, *recorded, "{name}"),
            (Err(error), None) => {
                let recorded = said["error"]["desc"].as_str().expect("a sentence");
                assert!(error.message().contains(recorded), "{error}");
                let missing = matches!(
                    said["error"]["class"].as_str(),
                    Some("DeviceNotFound" | "CommandNotFound")
                );
                assert_eq!(error.kind() == Kind::NotFound, missing);
            }
            (answer, recorded) => panic!("{name}: {answer:?}, recorded {recorded:?}"),
        }
    }
    assert!(qemu.await.is_some(), "QEMU's part was played to its end");
    let mut seen = Vec::new();
    loop {
        let news = client.events().await;
        assert!(!news.missed);
        seen.extend(news.events);
        if news.closed {
            break;
        }
    }
    seen.retain(|event| !event.name.starts_with("X_"));
    assert_eq!(seen.len(), events.len());
    for (event, recorded) in seen.iter().zip(&events) {
        assert_eq!(event.name, recorded["event"]);
        assert!(event.micros > 1_700_000_000_000_000, "it says when");
        assert_eq!(event.flag("guest"), recorded["data"]["guest"] == true);
        assert_eq!(event.text("reason"), recorded["data"]["reason"].as_str());
    }
    assert!(client.ask("query-status", json!({}), PATIENCE).await.is_err(), "it is over");
}

#[tokio::test]
async fn recorded_sessions() {
    replay(LIFE, Age::Recorded, 4096).await;
    replay(FOUND_AGAIN, Age::Recorded, 4096).await;
}

#[tokio::test]
async fn a_newer_qemu_ends_no_session() {
    replay(LIFE, Age::Newer, 4096).await;
    replay(FOUND_AGAIN, Age::Newer, 4096).await;
}

#[tokio::test]
async fn lines_in_any_pieces() {
    for chunk in [1, 2, 7, 100] {
        replay(FOUND_AGAIN, Age::Newer, chunk).await;
    }
}

/// A client that was greeted, and the other end.
async fn greeted(world: &World) -> (Client, UnixStream) {
    let (ours, mut theirs) = UnixStream::pair().expect("a pair");
    theirs.write_all(b"{\"QMP\": {}}\n{\"return\": {}, \"id\": 1}\n").await.expect("written");
    let client = Client::greet(world, ours, PATIENCE).await.expect("greeted");
    let mut capabilities = [0; 256];
    theirs.readable().await.expect("readable");
    theirs.try_read(&mut capabilities).expect("the first command");
    (client, theirs)
}

#[tokio::test]
async fn an_open_file_goes_along() {
    let world = World::real();
    let (client, theirs) = greeted(&world).await;
    let mut file = tempfile::tempfile().expect("a file");
    file.write_all(b"handed over").expect("written");
    let passed = file.try_clone().expect("the file");
    let asked = {
        let client = client.clone();
        world.spawn("asked", async move {
            let name = json!({"fdname": "state"});
            client.ask_with_file("getfd", name, passed.as_fd(), PATIENCE).await
        })
    };
    let (line, got) = loop {
        theirs.readable().await.expect("readable");
        let mut bytes = [0; 512];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
        let mut files = RecvAncillaryBuffer::new(&mut space);
        let read = theirs.try_io(Interest::READABLE, || {
            let slices = &mut [IoSliceMut::new(&mut bytes)];
            Ok(recvmsg(theirs.as_fd(), slices, &mut files, RecvFlags::DONTWAIT)?.bytes)
        });
        let Ok(read) = read else { continue };
        let got = files.drain().find_map(|message| match message {
            RecvAncillaryMessage::ScmRights(mut files) => files.next(),
            _ => None,
        });
        break (String::from_utf8_lossy(&bytes[..read]).into_owned(), got.expect("a file"));
    };
    assert!(line.contains("\"getfd\""), "{line}");
    let mut text = String::new();
    let mut file = std::fs::File::from(got);
    file.seek(SeekFrom::Start(0)).expect("the beginning");
    file.read_to_string(&mut text).expect("text");
    assert_eq!(text, "handed over");
    let mut theirs = theirs;
    theirs.write_all(b"{\"return\": {}, \"id\": 2}\n").await.expect("written");
    asked.await.expect("asked").expect("answered");
}

#[tokio::test]
async fn an_answer_that_comes_too_late() {
    let world = World::real();
    let (client, mut theirs) = greeted(&world).await;
    let error =
        client.ask("stop", json!({}), Duration::from_millis(20)).await.expect_err("nobody answers");
    assert_eq!(error.kind(), Kind::Unavailable);
    theirs.write_all(b"{\"return\": 1, \"id\": 2}\n").await.expect("written");
    theirs.write_all(b"{\"return\": 2, \"id\": 3}\n").await.expect("written");
    let answer = client.ask("cont", json!({}), PATIENCE).await.expect("answered");
    assert_eq!(answer, 2, "its own answer, not the late one");
}

#[tokio::test]
async fn the_other_end_is_gone() {
    let world = World::real();
    let (client, theirs) = greeted(&world).await;
    let asked = {
        let client = client.clone();
        world.spawn("asked", async move { client.ask("quit", json!({}), PATIENCE).await })
    };
    theirs.readable().await.expect("readable");
    drop(theirs);
    let error = asked.await.expect("asked").expect_err("it ended");
    assert_eq!(error.kind(), Kind::Unavailable);
    assert!(client.events().await.closed);
    assert!(client.ask("stop", json!({}), PATIENCE).await.is_err());
}

#[tokio::test]
async fn events_that_nobody_fetches() {
    let world = World::real();
    let (client, mut theirs) = greeted(&world).await;
    for n in 0..3000 {
        let line = format!("{{\"event\": \"E{n}\"}}\n");
        theirs.write_all(line.as_bytes()).await.expect("written");
    }
    theirs.write_all(b"{\"return\": {}, \"id\": 2}\n").await.expect("written");
    client.ask("query-status", json!({}), PATIENCE).await.expect("answered");
    let news = client.events().await;
    assert!(news.missed && !news.closed);
    assert_eq!(news.events.last().expect("the newest").name, "E2999");
    assert!(news.events.len() <= 1024);
}

#[tokio::test]
async fn no_greeting() {
    let world = World::real();
    let (ours, theirs) = UnixStream::pair().expect("a pair");
    let error = Client::greet(&world, ours, Duration::from_millis(20)).await.err();
    assert_eq!(error.expect("no greeting").kind(), Kind::Unavailable);
    drop(theirs);
    let (ours, theirs) = UnixStream::pair().expect("a pair");
    drop(theirs);
    assert!(Client::greet(&world, ours, PATIENCE).await.is_err());
}

fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "[a-z]{0,8}".prop_map(Value::from),
    ];
    let key = prop_oneof![
        Just("event"),
        Just("data"),
        Just("timestamp"),
        Just("seconds"),
        Just("return"),
        Just("error"),
        Just("class"),
        Just("desc"),
        Just("id"),
        Just("QMP"),
        Just("version"),
        Just("qemu"),
        Just("major"),
    ];
    leaf.prop_recursive(4, 32, 6, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::vec((key.clone(), inner), 0..6).prop_map(|fields| {
                Value::Object(fields.into_iter().map(|(k, v)| (k.to_owned(), v)).collect())
            }),
        ]
    })
}

proptest! {
    #[test]
    fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = Message::read(&bytes);
    }

    #[test]
    fn any_json_is_survived(value in json_value()) {
        let _ = Message::read(value.to_string().as_bytes());
    }

    #[test]
    fn a_cut_line_is_survived(at in 0..2000_usize) {
        let line = LIFE.lines().max_by_key(|line| line.len()).expect("a line").as_bytes();
        prop_assert_eq!(Message::read(&line[..at.min(line.len() - 1)]), Message::Unknown);
    }
}
