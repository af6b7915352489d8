//! Machines under a node of its own process, which is killed again and again.

use std::{fs, os::unix::fs::MetadataExt, process::Child, sync::Arc, time::Duration};

use agent::drivers::hypervisor::{Hypervisor, conformance};
use base::{Map, Revision};
use bytes::Bytes;
use orders::{
    Answer, ConfigDrive, ImageRef, Question, Reboot, VmId, VmOrder, VmReport, VmState, Wanted,
};
use sha2::{Digest, Sha512};

use crate::{
    Setting,
    controller::Controller,
    lab::{power_off_inside, provide},
    node::{self, Found, SOURCE},
};

const META_DATA: &str = r#"{"uuid": "x", "hostname": "from-config-drive", "name": "x"}"#;
// The image has no journal: what the guest wrote at its boot must be on disk before it is reset.
const USER_DATA: &str = "#!/bin/sh\nsync\necho \"user data ran on $(hostname)\" > /dev/ttyS0\ngrep -q vdc \
                         /proc/partitions && blkid /dev/vdc > /dev/ttyS0\n";

struct Bench {
    setting: Setting,
    controller: Controller,
    image: ImageRef,
    node: Child,
    links: u64,
}

impl Bench {
    async fn new(setting: Setting) -> Bench {
        let controller = Controller::listen(&setting.world, &setting.directory);
        let image = provide(&setting);
        let node = node::start(&setting.directory);
        controller.linked(1).await;
        Bench { setting, controller, image, node, links: 1 }
    }

    fn order(&self) -> VmOrder {
        let mut order = conformance::order(VmId::new(&self.setting.world));
        order.reboot = Reboot::default();
        order.spec.image = Some(self.image.clone());
        order
    }

    /// `kill -9` of the agent.
    fn kill_node(&mut self) {
        self.node.kill().expect("killed");
        self.node.wait().expect("dead");
    }

    async fn start_node(&mut self) {
        self.controller.look_away();
        self.node = node::start(&self.setting.directory);
        self.links += 1;
        self.controller.linked(self.links).await;
    }

    fn qemu(&self, id: &VmId) -> Found {
        let all = node::qemus(&self.setting.directory);
        let mut own = all.into_iter().filter(|found| found.machine == id.as_str());
        let found = own.next().expect("its QEMU");
        assert_eq!(own.next(), None, "one machine, one QEMU");
        found
    }

    async fn running(&self, id: &VmId) -> VmReport {
        self.controller.wait(id, "it to run", |r| r.state == VmState::Running).await
    }

    /// Deletes a machine by order.
    async fn gone(&self, order: &VmOrder) {
        let gone = VmOrder { wanted: Wanted::Gone, ..next(order) };
        self.controller.order(&gone).await;
        self.controller.wait(&gone.id, "it to be gone", |r| r.state == VmState::Gone).await;
        self.controller.forget(&gone.id).await;
        let directory = self.setting.directory.join("machines").join(gone.id.as_str());
        assert!(!directory.exists(), "its disk is deleted");
    }

    /// The same, and the node too.
    async fn end(mut self, order: &VmOrder) {
        self.gone(order).await;
        self.kill_node();
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        let _ = self.node.kill();
        let _ = self.node.wait();
        if std::thread::panicking() {
            let log = fs::read_to_string(self.setting.directory.join("node.log"));
            eprintln!("the node said:\n{}", log.unwrap_or_default());
            for found in node::qemus(&self.setting.directory) {
                let _ = std::process::Command::new("kill")
                    .args(["-KILL", &found.pid.to_string()])
                    .status();
            }
        }
    }
}

fn next(order: &VmOrder) -> VmOrder {
    let mut next = order.clone();
    next.version.revision = Revision(order.version.revision.0 + 1);
    next
}

/// Everything that happens to a machine, with the agent killed in between.
pub async fn life(setting: Setting) {
    let mut bench = Bench::new(setting).await;
    let files = Map::from([
        ("openstack/latest/meta_data.json".to_owned(), Bytes::from(META_DATA)),
        ("openstack/latest/user_data".to_owned(), Bytes::from(USER_DATA)),
    ]);
    let mut order = bench.order();
    order.spec.config_drive = Some(ConfigDrive { files });
    order.spec.ephemeral_gib = 1;
    order.spec.swap_mib = 64;
    let id = order.id.clone();
    bench.controller.order(&order).await;
    let report = bench.running(&id).await;
    assert_eq!((report.epoch, report.starts), (order.epoch, 1));
    let text = bench.controller.console_shows(&id, "from-config-drive login:", 1).await;
    assert!(text.contains("config-drive /dev/vdd"), "{text}");
    assert!(text.contains("user data ran on from-config-drive"), "{text}");
    assert!(text.contains("mounted /dev/vdb"), "the ephemeral disk has a file system: {text}");

    // The agent dies; the machine does not notice.
    let first = bench.qemu(&id);
    bench.kill_node();
    assert_eq!(bench.qemu(&id), first);
    bench.start_node().await;
    let report = bench.running(&id).await;
    assert_eq!(report.starts, 1);
    assert_eq!(bench.qemu(&id), first, "the same process");
    match bench.controller.ask(Question::Diagnostics { vm: id.clone() }).await {
        Answer::Json(figures) => {
            assert_eq!(figures["num_disks"], 4, "{figures}");
            assert!(figures["cpu_details"][0]["time"].as_u64().is_some_and(|t| t > 0), "{figures}");
            assert!(
                figures["disk_details"][0]["read_bytes"].as_u64().is_some_and(|b| b > 0),
                "{figures}"
            );
        }
        other => panic!("no diagnostics: {other:?}"),
    }

    // QEMU is killed: it is started again.
    kill(&first);
    bench
        .controller
        .wait(&id, "a second start", |r| r.state == VmState::Running && r.starts == 2)
        .await;
    assert_ne!(bench.qemu(&id), first);
    bench.controller.console_shows(&id, "from-config-drive login:", 2).await;

    // Rebooted, hard and soft.
    order = VmOrder { reboot: Reboot { number: 1, hard: true }, ..next(&order) };
    let second = bench.qemu(&id);
    bench.controller.order(&order).await;
    bench.controller.wait(&id, "the hard reboot", |r| r.rebooted == 1).await;
    assert_eq!(bench.qemu(&id), second, "a reset keeps the process");
    bench.controller.console_shows(&id, "from-config-drive login:", 3).await;
    order = VmOrder { reboot: Reboot { number: 2, hard: false }, ..next(&order) };
    bench.controller.order(&order).await;
    bench
        .controller
        .wait(&id, "the soft reboot", |r| r.rebooted == 2 && r.state == VmState::Running)
        .await;
    let text = bench.controller.console_shows(&id, "from-config-drive login:", 4).await;
    assert_eq!(text.matches("Requesting system poweroff").count(), 1, "the guest was asked");

    // Stopped by ACPI; the order for it comes while the agent is dead.
    bench.kill_node();
    order = VmOrder { wanted: Wanted::Stopped, ..next(&order) };
    bench.controller.order(&order).await;
    bench.start_node().await;
    bench
        .controller
        .wait(&id, "it to stop", |r| r.state == VmState::Stopped { by_guest: false })
        .await;
    assert_eq!(node::qemus(&bench.setting.directory), []);
    let text = bench.controller.console(&id).await;
    assert_eq!(text.matches("Requesting system poweroff").count(), 2, "the guest was asked");

    // Its guest switches itself off, and it stays off, whoever dies.
    order = VmOrder { wanted: Wanted::Running, ..next(&order) };
    bench.controller.order(&order).await;
    bench.running(&id).await;
    bench.controller.console_shows(&id, "from-config-drive login:", 5).await;
    bench.kill_node();
    power_off_inside(&bench.setting, &id).await;
    bench.start_node().await;
    let off = |r: &VmReport| r.state == VmState::Stopped { by_guest: true };
    bench.controller.wait(&id, "the guest's end", off).await;
    bench.kill_node();
    bench.start_node().await;
    bench.controller.wait(&id, "the guest's end, still", off).await;
    assert_eq!(node::qemus(&bench.setting.directory), []);
    bench.end(&order).await;
}

fn kill(found: &Found) {
    let pid = found.pid.to_string();
    let status = std::process::Command::new("kill").args(["-KILL", &pid]).status();
    assert!(status.expect("kill").success());
}

/// What keeps a machine's process from the host, as the kernel says.
pub async fn hardening(setting: Setting) {
    let driver = node::driver(&setting.world, &setting.directory, true).await.expect("a driver");
    let bench = Bench::new(setting).await;
    let order = bench.order();
    for (order, what) in [(&order, "image fetched"), (&bench.order(), "image in the cache")] {
        let began = bench.setting.world.now();
        bench.controller.order(order).await;
        bench.running(&order.id).await;
        let took = bench.setting.world.now().since(began);
        println!("from the order to the report that it runs, {what}: {took:?}");
        if what != "image fetched" {
            bench.gone(order).await;
        }
    }
    let found = bench.qemu(&order.id);
    let status = fs::read_to_string(format!("/proc/{}/status", found.pid)).expect("its status");
    let field = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name)).expect("a line");
        line[name.len()..].trim().to_owned()
    };
    let root = fs::metadata("/proc/self").expect("this process").uid() == 0;
    assert_eq!(field("Seccomp:"), "2", "system calls are filtered");
    assert_eq!(field("NoNewPrivs:"), "1");
    let stat = fs::read_to_string(format!("/proc/{}/stat", found.pid)).expect("its status");
    let session = stat.rsplit_once(") ").expect("fields").1.split(' ').nth(3).expect("a session");
    assert_eq!(session, found.pid.to_string(), "a session of its own");
    for measure in driver.hardening() {
        println!("{}: {} ({})", measure.what, measure.holds, measure.how);
        if measure.what == "own user" && root {
            // In a directory that anybody may pass.
            assert!(measure.holds, "{}", measure.how);
            assert!(!field("Uid:").split('\t').any(|id| id == "0"), "{}", field("Uid:"));
            assert!(!field("Gid:").split('\t').any(|id| id == "0"), "{}", field("Gid:"));
            assert_eq!(field("CapEff:"), "0000000000000000");
            assert_eq!(field("Groups:"), "", "no other groups");
        }
    }
    let machine = bench.setting.directory.join("machines").join(order.id.as_str());
    let own_user = fs::metadata(machine.join("root.qcow2")).expect("its disk");
    let record = fs::metadata(machine.join("machine.json")).expect("its record");
    assert_eq!(own_user.uid() != record.uid(), root, "QEMU cannot write what the agent trusts");
    bench.end(&order).await;
}

/// The agent is killed at any moment of a start. What follows is one machine, started once.
pub async fn killed_while_starting(setting: Setting) {
    let mut bench = Bench::new(setting).await;
    for round in 0..12_u64 {
        let order = bench.order();
        let wait = Duration::from_micros(bench.setting.world.below(180_000));
        bench.controller.order(&order).await;
        bench.setting.world.sleep(wait).await;
        bench.kill_node();
        bench.start_node().await;
        let report = bench.running(&order.id).await;
        assert_eq!(report.starts, 1, "round {round}, killed after {wait:?}");
        let found = bench.qemu(&order.id);
        // Its QEMU answers, and there is no second one behind it.
        let question = Question::Diagnostics { vm: order.id.clone() };
        match bench.controller.ask(question).await {
            Answer::Json(figures) => assert_eq!(figures["state"], "running"),
            other => panic!("round {round}, killed after {wait:?}: {other:?}, {found:?}"),
        }
        let gone = VmOrder { wanted: Wanted::Gone, ..next(&order) };
        bench.controller.order(&gone).await;
        // Killed again while it deletes.
        let wait = Duration::from_micros(bench.setting.world.below(60_000));
        bench.setting.world.sleep(wait).await;
        bench.kill_node();
        bench.start_node().await;
        bench.controller.wait(&gone.id, "it to be gone", |r| r.state == VmState::Gone).await;
        bench.controller.forget(&gone.id).await;
        assert_eq!(node::qemus(&bench.setting.directory), []);
    }
    let left = fs::read_dir(bench.setting.directory.join("machines")).expect("a directory");
    assert_eq!(left.count(), 0, "no disk is left");
}

/// An image that would read the host's files, and one whose bytes are not what was promised.
pub async fn hostile_images(setting: Setting) {
    let bench = Bench::new(setting).await;
    let source = bench.setting.directory.join(SOURCE);
    let mut bytes = fs::read(source.join("image")).expect("the image");
    // A backing file, its name where nobody looks.
    bytes[8..16].copy_from_slice(&512_u64.to_be_bytes());
    bytes[16..20].copy_from_slice(&11_u32.to_be_bytes());
    bytes[512..523].copy_from_slice(b"/etc/passwd");
    fs::write(source.join("backing"), &bytes).expect("an image");
    let hash = Sha512::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    let mut order = bench.order();
    order.spec.image =
        Some(ImageRef { id: "backing".to_owned(), sha512: hash, ..bench.image.clone() });
    bench.controller.order(&order).await;
    let failed = |r: &VmReport| matches!(r.state, VmState::Failed { .. });
    let report = bench.controller.wait(&order.id, "it to fail", failed).await;
    assert!(format!("{:?}", report.state).contains("backing file"), "{:?}", report.state);
    let images = fs::read_dir(bench.setting.directory.join("images")).expect("a directory");
    assert_eq!(images.count(), 0, "nothing of it is kept");
    let driver = node::driver(&bench.setting.world, &bench.setting.directory, true).await;
    let driver: Arc<dyn Hypervisor> = Arc::new(driver.expect("a driver"));
    driver.attach().await.expect("attached");
    assert_eq!(driver.list(), [], "nothing was made");
    bench.end(&order).await;
}
