//! Wrong requests, from outside: each row of `wrong_requests.json` is answered with the status, the form and
//! the words of the real service, and stores nothing. A row whose answer is known to differ stands in
//! `known_differences.json` with the reason; that list only shrinks.

mod common;

use std::time::Duration;

use base::Map;
use bytes::Bytes;
use common::{Cloud, fixture, send};
use serde::Deserialize;
use serde_json::{Value, json};
use web::testing::{Answer, Client};

/// One wrong request and what is answered.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    /// Method and path.
    ask: String,
    /// Whose token.
    #[serde(rename = "as")]
    who: String,
    /// The microversion, as in the header.
    version: Option<String>,
    #[serde(default)]
    headers: Map<String, String>,
    /// A body of JSON.
    send: Option<Value>,
    /// A body as it is.
    text: Option<String>,
    /// A body of so many bytes.
    fill: Option<usize>,
    /// A hostile image of this name.
    data: Option<String>,
    status: u16,
    /// The envelope, where it is not the service's own.
    form: Option<String>,
    /// Part of the message.
    says: Option<String>,
    /// Where in the real service this comes from.
    from: String,
}

/// A row whose answer is another one, for now or by decision.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Difference {
    /// The row, as [`Row::name`] tells it.
    row: String,
    /// Why.
    why: String,
}

impl Row {
    /// What tells this row from the others.
    fn name(&self) -> String {
        let body = match (&self.send, &self.text, &self.fill, &self.data) {
            (Some(json), ..) => json.to_string(),
            (_, Some(text), ..) => text.clone(),
            (_, _, Some(size), _) => format!("{size} bytes"),
            (.., Some(data)) => data.clone(),
            _ => String::new(),
        };
        let version = self.version.as_deref().unwrap_or("");
        let headers: Vec<String> = self.headers.iter().map(|(k, v)| format!("{k}={v}")).collect();
        let parts = [&*self.who, &self.ask, version, &headers.join(" "), &body];
        let mut name =
            parts.iter().filter(|p| !p.is_empty()).copied().collect::<Vec<_>>().join(" ");
        if name.len() > 400 {
            name.truncate(name.floor_char_boundary(400));
        }
        name
    }

    /// What is wrong with this answer; nothing when it is as it shall be.
    fn judge(&self, answer: &Answer, ids: &Map<&'static str, String>) -> Option<String> {
        let status = answer.status.as_u16();
        if status != self.status {
            return Some(format!("answered with {status}, not {}: {}", self.status, answer.text()));
        }
        let path = self.ask.split_whitespace().nth(1).unwrap_or_default();
        let form = match &self.form {
            Some(form) => form,
            // Keystone's filter stands in front of every service.
            None if status == 401 => "identity",
            None => path.split('/').nth(1).unwrap_or_default(),
        };
        if let Some(wrong) = envelope(form, status, answer) {
            return Some(format!("{wrong}: {}", answer.text()));
        }
        let said = common::with_ids(&plain(&answer.text()), &Map::new());
        match self.says.as_ref().map(|says| common::with_ids(says, ids)) {
            Some(says) if !said.contains(&says) => {
                Some(format!("does not say {says:?}: {}", answer.text()))
            }
            _ => None,
        }
    }
}

/// JSON's and HTML's escapes undone, as far as messages have them.
fn plain(text: &str) -> String {
    let escapes = [
        ("\\\"", "\""),
        ("&#x27;", "'"),
        ("&quot;", "\""),
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&amp;", "&"),
    ];
    escapes.iter().fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
}

/// What is wrong with the form of an error.
fn envelope(form: &str, status: u16, answer: &Answer) -> Option<String> {
    let parsed: Option<Value> = serde_json::from_slice(&answer.bytes).ok();
    let json = parsed.unwrap_or(Value::Null);
    let good = match form {
        "identity" => {
            let error = &json["error"];
            error["code"] == status && error["title"].is_string() && error["message"].is_string()
        }
        "compute" => {
            let name = match status {
                400 => "badRequest",
                403 => "forbidden",
                404 => "itemNotFound",
                405 => "badMethod",
                409 => "conflictingRequest",
                413 => "overLimit",
                415 => "badMediaType",
                _ => "computeFault",
            };
            let words = json[name]["message"].is_string() && json[name]["code"] == status;
            // A refused version is answered by code that is older than the envelope.
            words || (status == 406 && json.as_object().is_some_and(|map| map.len() == 1))
        }
        "image" => answer.text().contains(&format!("<h1>{status} ")),
        "placement" => {
            let error = &json["errors"][0];
            error["status"] == status
                && error["title"].is_string()
                && error["detail"].is_string()
                && error["request_id"].is_string()
        }
        "any" => true,
        other => return Some(format!("there is no form {other}")),
    };
    (!good).then(|| format!("not the form of an error of {form}"))
}

/// An image that wants more than it should.
fn hostile(name: &str) -> Vec<u8> {
    let mut image = vec![0_u8; 4 * 65536];
    let mut put = |at: usize, bytes: &[u8]| image[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, b"QFI\xfb");
    put(4, &3_u32.to_be_bytes());
    put(20, &16_u32.to_be_bytes());
    put(24, &(1_u64 << 20).to_be_bytes());
    put(36, &1_u32.to_be_bytes());
    put(40, &65536_u64.to_be_bytes());
    put(48, &131_072_u64.to_be_bytes());
    put(56, &1_u32.to_be_bytes());
    put(96, &4_u32.to_be_bytes());
    put(100, &104_u32.to_be_bytes());
    match name {
        "good" => {}
        "backing" => {
            put(8, &512_u64.to_be_bytes());
            put(16, &11_u32.to_be_bytes());
            put(512, b"/etc/passwd");
        }
        "datafile" => put(72, &4_u64.to_be_bytes()),
        "lying" => put(24, &(1_u64 << 60).to_be_bytes()),
        "huge_l1" => put(36, &u32::MAX.to_be_bytes()),
        "truncated" => image.truncate(80),
        "encrypted" => put(32, &2_u32.to_be_bytes()),
        "garbage" => image = b"this is no disk".repeat(100),
        "vmdk_elsewhere" => {
            image = b"# Disk DescriptorFile\nversion=1\ncreateType=\"monolithicFlat\"\nRW 2048 FLAT \"/etc/passwd\" 0\n".to_vec();
            image.resize(4096, 0);
        }
        other => panic!("there is no image {other}"),
    }
    image
}

/// All that is stored but who is alive; images without the moment of their last change.
async fn stored(cloud: &Cloud) -> Map<String, Bytes> {
    let reading = cloud.controller.state.store().load("").await.expect("the store");
    let items = reading.items.into_iter().map(|item| (item.key.to_string(), item.value));
    items.filter(|(key, _)| !cloud.is_heartbeat(key)).collect()
}

async fn client(cloud: &Cloud, who: &Map<&'static str, Client>, row: &Row) -> Answer {
    let mut client = who.get(&*row.who).unwrap_or_else(|| panic!("who is {}?", row.who)).clone();
    let ids = &cloud.ids;
    if let Some(version) = &row.version {
        client = client.version(version);
    }
    for (name, value) in &row.headers {
        client = client.header(name, value);
    }
    let (method, path) = row.ask.split_once(' ').expect("a method and a path");
    let body = match (&row.send, &row.text, row.fill, &row.data) {
        (Some(json), ..) => {
            if !row.headers.contains_key("content-type") {
                client = client.header("content-type", "application/json");
            }
            common::with_ids(&json.to_string(), ids).into_bytes()
        }
        (_, Some(text), ..) => text.clone().into_bytes(),
        (_, _, Some(size), _) => {
            client = client.header("content-type", "application/json");
            json!({"x": "y".repeat(size)}).to_string().into_bytes()
        }
        (.., Some(data)) => hostile(data),
        _ => Vec::new(),
    };
    send(&client, method, &common::with_ids(path, ids), body).await
}

#[test]
fn wrong_requests_are_answered_as_the_real_services_do_and_store_nothing() {
    let rows: Vec<Row> = serde_json::from_str(include_str!("wrong_requests.json")).expect("rows");
    let known: Vec<Difference> =
        serde_json::from_str(include_str!("known_differences.json")).expect("differences");
    assert!(rows.len() >= 150, "only {} rows", rows.len());
    let mut names = base::Set::new();
    for row in &rows {
        assert!(!row.from.is_empty());
        assert!(names.insert(row.name()), "twice: {}", row.name());
    }
    for difference in &known {
        assert!(!difference.why.is_empty());
        assert!(names.contains(&difference.row), "there is no such row: {}", difference.row);
    }
    common::run(1, async |world| {
        let (cloud, who) = fixture(&world).await;
        let mut wrong = Vec::new();
        let mut differ = base::Set::new();
        for row in &rows {
            cloud.settle().await;
            let before = stored(&cloud).await;
            let answer = client(&cloud, &who, row).await;
            let mut complaint = row.judge(&answer, &cloud.ids);
            // What was begun may be put back first.
            world.sleep(Duration::from_secs(1)).await;
            let after = stored(&cloud).await;
            let hostile = row.data.is_some();
            let same = |key: &String| {
                hostile && before.contains_key(key) || before.get(key) == after.get(key)
            };
            if let Some(key) = before.keys().chain(after.keys()).find(|key| !same(key)) {
                let status = answer.status;
                complaint = Some(format!("answered with {status}, and {key} changed"));
            }
            if let Some(complaint) = complaint {
                differ.insert(row.name());
                if !known.iter().any(|difference| difference.row == row.name()) {
                    wrong.push(format!("{}\n    {complaint} [{}]", row.name(), row.from));
                }
            }
        }
        for difference in &known {
            if !differ.contains(&difference.row) {
                wrong
                    .push(format!("{}\n    is right now: strike it from the list", difference.row));
            }
        }
        // The image that all the hostile bytes went to is as empty as before.
        let queued = format!("/image/v2/images/{}", cloud.ids["queued"]);
        let image = who["demo"].get(&queued).await.expect(200).json();
        assert_eq!((&image["status"], &image["size"]), (&json!("queued"), &Value::Null), "{image}");
        assert!(wrong.is_empty(), "{} of {} rows:\n{}", wrong.len(), rows.len(), wrong.join("\n"));
    });
}

/// The hostile images are hostile for the one thing that is changed in them.
#[test]
fn the_same_image_without_the_evil_is_taken() {
    common::run(2, async |world| {
        let (cloud, who) = fixture(&world).await;
        let path = format!("/image/v2/images/{}/file", cloud.ids["queued"]);
        let client = who["demo"].header("content-type", "application/octet-stream");
        send(&client, "PUT", &path, hostile("good")).await.expect(204);
    });
}
