//! Who changed what: one JSON line for each change that was tried (the fields of CADF), in a file of its
//! own, apart from the log.

use std::{
    fs::{File, OpenOptions},
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::Path,
    sync::Arc,
};

use base::{Error, Result, World};
use serde_json::json;
use tokio::sync::mpsc;
use web::{AuditEvent, AuditSink};

/// Appends to a file, off the async threads.
pub struct AuditFile {
    lines: mpsc::UnboundedSender<String>,
}

impl AuditFile {
    /// The file, made if it is not there (mode 0600).
    ///
    /// # Errors
    /// When it can be neither opened nor made.
    pub fn open(world: &World, path: &Path) -> Result<AuditFile> {
        let file = OpenOptions::new().create(true).append(true).mode(0o600).open(path);
        let file = file.map_err(|error| {
            Error::internal(format!("{}: {error}", path.display())).with_source(error)
        })?;
        let (lines, waiting) = mpsc::unbounded_channel();
        world.spawn("audit", write(world.clone(), Arc::new(file), waiting));
        Ok(AuditFile { lines })
    }
}

async fn write(world: World, file: Arc<File>, mut waiting: mpsc::UnboundedReceiver<String>) {
    let mut lines = Vec::new();
    while waiting.recv_many(&mut lines, 1000).await > 0 {
        let text = lines.concat();
        lines.clear();
        let file = file.clone();
        if let Err(error) = world.blocking(move || (&*file).write_all(text.as_bytes())).await {
            tracing::error!("the audit file cannot be written: {error}");
        }
    }
}

impl AuditSink for AuditFile {
    fn record(&self, event: &AuditEvent) {
        let line = json!({
            "typeURI": "http://schemas.dmtf.org/cloud/audit/1.0/event",
            "eventType": "activity",
            "id": event.id,
            "eventTime": event.time.iso_micros(),
            "action": event.action,
            "outcome": event.outcome,
            "reason": {"reasonType": "HTTP", "reasonCode": event.status},
            "initiator": {
                "id": event.initiator.user_id,
                "name": event.initiator.user_name,
                "project_id": event.initiator.project_id(),
                "host": {"address": event.address.map(|address| address.to_string())},
            },
            "target": {"service": event.service, "route": event.route},
            "requestPath": event.path,
            "request_id": &*event.request_id,
        });
        // The receiver ends with the process only.
        let _ended = self.lines.send(format!("{line}\n"));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn each_change_is_a_line() {
        let dir = tempfile::tempdir().unwrap();
        let (world, path) = (World::real(), dir.path().join("audit.log"));
        let sink = AuditFile::open(&world, &path).unwrap();
        for number in 0..3 {
            sink.record(&AuditEvent {
                id: number.to_string(),
                time: world.wall(),
                action: "create",
                outcome: "success",
                status: 201,
                initiator: Arc::default(),
                address: None,
                service: "compute",
                method: http::Method::POST,
                route: "/servers",
                path: "/compute/v2.1/servers".into(),
                request_id: "req-1".into(),
            });
        }
        for _ in 0..1000 {
            if std::fs::read_to_string(&path).unwrap().lines().count() == 3 {
                return;
            }
            world.sleep(Duration::from_millis(10)).await;
        }
        panic!("{}", std::fs::read_to_string(&path).unwrap());
    }
}
