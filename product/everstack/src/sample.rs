//! `everstack up --sample`: the flavors that every tutorial uses, and a tiny image that boots. Made through
//! the APIs, like anybody's; what is there already stays.

use base::{Result, World};
use bytes::Bytes;
use serde_json::json;

use crate::{client::Client, credentials::Passwords};

/// Name, id, virtual processors, memory in MiB, disk in GiB.
const FLAVORS: &[(&str, &str, u32, u32, u32)] = &[
    ("m1.tiny", "1", 1, 512, 1),
    ("m1.small", "2", 1, 2048, 20),
    ("m1.medium", "3", 2, 4096, 40),
    ("m1.large", "4", 4, 8192, 80),
    ("m1.xlarge", "5", 8, 16384, 160),
];

const IMAGE: &str = "tiny";

/// Makes what is missing.
///
/// # Errors
/// When the cloud refuses.
pub async fn make(
    world: &World,
    url: &str,
    ca: Option<String>,
    passwords: &Passwords,
) -> Result<()> {
    let mut client = Client::new(world, url, ca);
    client.log_in(passwords.admin.expose()).await?;
    let flavors = client.get("/compute/v2.1/flavors?is_public=None").await?;
    let there = |name: &str| {
        flavors["flavors"].as_array().is_some_and(|all| all.iter().any(|f| f["name"] == name))
    };
    for (name, id, vcpus, ram, disk) in FLAVORS {
        if !there(name) {
            let flavor = json!({"name": name, "id": id, "vcpus": vcpus, "ram": ram, "disk": disk});
            client.post("/compute/v2.1/flavors", &json!({"flavor": flavor})).await?;
        }
    }
    let images = client.get(&format!("/image/v2/images?name={IMAGE}&visibility=public")).await?;
    if images["images"].as_array().is_some_and(Vec::is_empty) {
        let image = json!({
            "name": IMAGE, "disk_format": "raw", "container_format": "bare", "visibility": "public",
        });
        let made = client.post("/image/v2/images", &image).await?;
        let id = made["id"].as_str().unwrap_or_default();
        client.put(&format!("/image/v2/images/{id}/file"), disk()).await?;
    }
    Ok(())
}

/// A disk of 1 MiB whose boot sector writes a line to the serial port and halts.
fn disk() -> Bytes {
    const TEXT: &[u8] =
        b"\r\nEverstack's sample image: this machine boots, and does nothing else.\r\n";
    #[rustfmt::skip]
    const CODE: [u8; 33] = [
        0x31, 0xc0,             // xor ax, ax
        0x8e, 0xd8,             // mov ds, ax
        0xbe, 0x21, 0x7c,       // mov si, text
        0xac,                   // next: lodsb
        0x84, 0xc0,             // test al, al
        0x74, 0x12,             // jz halt
        0x88, 0xc3,             // mov bl, al
        0xba, 0xfd, 0x03,       // wait: mov dx, 0x3fd
        0xec,                   // in al, dx
        0xa8, 0x20,             // test al, 0x20
        0x74, 0xf8,             // jz wait
        0xba, 0xf8, 0x03,       // mov dx, 0x3f8
        0x88, 0xd8,             // mov al, bl
        0xee,                   // out dx, al
        0xeb, 0xe9,             // jmp next
        0xf4,                   // halt: hlt
        0xeb, 0xfd,             // jmp halt
    ];
    let mut disk = vec![0; 1024 * 1024];
    disk[..CODE.len()].copy_from_slice(&CODE);
    disk[CODE.len()..CODE.len() + TEXT.len()].copy_from_slice(TEXT);
    disk[510..512].copy_from_slice(&[0x55, 0xaa]);
    disk.into()
}
