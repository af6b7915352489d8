//! QEMU against the suite that the fake passes.

use std::{fs, sync::Arc, time::Duration};

use agent::drivers::hypervisor::{Hypervisor, Power, conformance, qemu::Qemu};
use async_trait::async_trait;
use base::World;
use orders::{ImageRef, VmId, VmOrder};
use sha2::{Digest, Sha512};
use tokio::{io::AsyncWriteExt, net::UnixStream};

use crate::{
    Setting,
    controller::PATIENCE,
    node::{self, SOURCE},
};

/// Puts the test image where nodes of this directory fetch from.
pub fn provide(setting: &Setting) -> ImageRef {
    let source = setting.directory.join(SOURCE);
    fs::create_dir_all(&source).expect("a directory");
    let bytes = fs::read(&setting.image).expect("the test image");
    fs::write(source.join("image"), &bytes).expect("a copy");
    let virtual_size = u64::from_be_bytes(bytes[24..32].try_into().expect("eight bytes"));
    ImageRef {
        id: "image".to_owned(),
        size: bytes.len() as u64,
        sha512: Sha512::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect(),
        disk_format: "qcow2".to_owned(),
        virtual_size,
    }
}

/// Types into a machine's serial console.
pub async fn type_into(setting: &Setting, id: &VmId, text: &str) {
    let path = setting.directory.join("machines").join(id.as_str()).join("run/serial.sock");
    let mut stream = UnixStream::connect(path).await.expect("the serial console");
    stream.write_all(text.as_bytes()).await.expect("typed");
    stream.flush().await.expect("typed");
    // QEMU hands on what the guest takes; the session must live so long.
    let mut sink = [0; 4096];
    let read = async {
        while tokio::io::AsyncReadExt::read(&mut stream, &mut sink).await.is_ok_and(|n| n > 0) {}
    };
    let _ = setting.world.timeout(Duration::from_secs(2), read).await;
}

/// Logs in on the console and switches the machine off.
pub async fn power_off_inside(setting: &Setting, id: &VmId) {
    type_into(setting, id, "\nroot\n").await;
    type_into(setting, id, "poweroff\n").await;
}

struct Lab<'a> {
    setting: &'a Setting,
    image: ImageRef,
    /// The agent's part of the world: ends with it.
    scope: World,
    qemu: Qemu,
    overlay: bool,
}

impl<'a> Lab<'a> {
    async fn new(setting: &'a Setting, overlay: bool) -> Lab<'a> {
        let scope = setting.world.scope("agent");
        let image = provide(setting);
        let qemu = node::driver(&scope, &setting.directory, overlay).await.expect("a driver");
        Lab { setting, image, scope, qemu, overlay }
    }
}

#[async_trait]
impl conformance::Lab for Lab<'_> {
    fn world(&self) -> &World {
        &self.setting.world
    }

    fn hypervisor(&self) -> Arc<dyn Hypervisor> {
        Arc::new(self.qemu.clone())
    }

    fn equip(&self, order: &mut VmOrder) {
        order.spec.image = Some(self.image.clone());
        // The image has no journal: a guest that is reset while it grows its file system to a larger
        // disk would not boot again.
        order.spec.root_gib = 0;
    }

    async fn restart(&mut self) {
        self.scope.kill();
        self.scope = self.setting.world.scope("agent");
        let directory = &self.setting.directory;
        self.qemu = node::driver(&self.scope, directory, self.overlay).await.expect("a driver");
        self.qemu.attach().await.expect("attached");
    }

    async fn kill(&self, id: &VmId) {
        let all = node::qemus(&self.setting.directory);
        let found = all.iter().find(|found| found.machine == id.as_str()).expect("its process");
        let status = std::process::Command::new("kill")
            .args(["-KILL", &found.pid.to_string()])
            .status()
            .expect("kill");
        assert!(status.success());
    }

    async fn power_off_inside(&self, id: &VmId) {
        power_off_inside(self.setting, id).await;
    }

    async fn anything_left(&self, id: &VmId) -> bool {
        let machines = self.setting.directory.join("machines");
        machines.join(id.as_str()).exists()
            || node::qemus(&self.setting.directory).iter().any(|f| f.machine == id.as_str())
    }

    fn patience(&self) -> Duration {
        PATIENCE
    }
}

/// The suite.
pub async fn conforms(setting: Setting) {
    conformance::run(&mut Lab::new(&setting, true).await).await;
}

/// A root disk that is a copy of its image boots too, and grows.
pub async fn copies(setting: Setting) {
    let lab = Lab::new(&setting, false).await;
    lab.qemu.attach().await.expect("attached");
    let mut order = conformance::order(VmId::new(&setting.world));
    order.spec.image = Some(lab.image.clone());
    let order = Arc::new(order);
    lab.qemu.prepare(&order).await.expect("prepared");
    lab.qemu.start(&order).await.expect("started");
    assert_eq!(lab.qemu.look(&order.id).expect("here").power, Power::Running);
    let root = setting.directory.join("machines").join(order.id.as_str()).join("root.qcow2");
    let header = fs::read(root).expect("the disk");
    assert_eq!(header[8..16], [0; 8], "it stands on no other file");
    assert_eq!(header[24..32], (1_u64 << 30).to_be_bytes(), "as large as ordered");
    lab.qemu.remove(&order.id).await.expect("removed");
}
