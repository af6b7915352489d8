//! What an extra spec may be from 2.86 on: known names with the form of their values, as data. Names
//! outside of the known namespaces are anybody's.

use std::sync::LazyLock;

use base::{Error, Result};
use regex::Regex;
use web::validate;

#[derive(Clone, Copy)]
enum Form {
    Text,
    Boolean,
    Integer { min: i64, max: i64 },
    OneOf(&'static [&'static str]),
    Like(&'static str),
}

const ANY_INTEGER: Form = Form::Integer { min: i64::MIN, max: i64::MAX };
const NOT_NEGATIVE: Form = Form::Integer { min: 0, max: i64::MAX };
const POSITIVE: Form = Form::Integer { min: 1, max: i64::MAX };
const CPUS: &str = r"\^?\d+((-\d+)?(,\^?\d+(-\d+)?)?)*";
const TRAIT: Form = Form::OneOf(&["required", "forbidden"]);

/// Names (whole, as regular expressions) and the forms of their values.
const KNOWN: &[(&str, Form)] = &[
    ("accel:device_profile", Form::Text),
    ("aggregate_instance_extra_specs:.+", Form::Text),
    (
        "capabilities:(id|uuid|service_id|host|vcpus|memory_mb|local_gb|vcpus_used|memory_mb_used|\
         local_gb_used|hypervisor_type|hypervisor_version|hypervisor_hostname|free_ram_mb|\
         free_disk_gb|current_workload|running_vms|disk_available_least|host_ip|mapped|\
         cpu_allocation_ratio|ram_allocation_ratio|disk_allocation_ratio|total_usable_ram_mb|\
         total_usable_disk_gb|disk_mb_used|free_disk_mb|vcpus_total|num_instances|num_io_ops|\
         failed_builds|aggregates|cell_uuid|updated)",
        Form::Text,
    ),
    (
        r"capabilities:(cpu_info|metrics|stats|numa_topology|supported_hv_specs|pci_device_pools|nodename|pci_stats|supported_instances|limits|instances)(:\w+)*",
        Form::Text,
    ),
    ("hw:cpu_realtime", Form::Boolean),
    ("hw:cpu_realtime_mask", Form::Like(CPUS)),
    ("hw:hide_hypervisor_id", Form::Boolean),
    ("hw:cpu_policy", Form::OneOf(&["dedicated", "shared", "mixed"])),
    ("hw:cpu_thread_policy", Form::OneOf(&["prefer", "isolate", "require"])),
    ("hw:emulator_threads_policy", Form::OneOf(&["isolate", "share"])),
    ("hw:cpu_dedicated_mask", Form::Like(CPUS)),
    ("hw:mem_page_size", Form::Like(r"(large|small|any|\d+([kKMGT]i?)?(b|bit|B)?)")),
    ("hw:locked_memory", Form::Boolean),
    ("hw:numa_nodes", POSITIVE),
    (r"hw:numa_cpus\.\d+", Form::Like(CPUS)),
    (r"hw:numa_mem\.\d+", POSITIVE),
    ("hw:pci_numa_affinity_policy", Form::OneOf(&["required", "preferred", "legacy", "socket"])),
    ("hw:cpu_sockets", POSITIVE),
    ("hw:cpu_cores", POSITIVE),
    ("hw:cpu_threads", POSITIVE),
    ("hw:cpu_max_sockets", POSITIVE),
    ("hw:cpu_max_cores", POSITIVE),
    ("hw:cpu_max_threads", POSITIVE),
    ("hw:boot_menu", Form::Boolean),
    ("hw:vif_multiqueue_enabled", Form::Boolean),
    ("hw:mem_encryption", Form::Boolean),
    ("hw:mem_encryption_model", Form::OneOf(&["amd-sev", "amd-sev-es"])),
    ("hw:pmem", Form::Like("([a-zA-Z0-9_]+(,)?)+")),
    ("hw:pmu", Form::Boolean),
    ("hw:serial_port_count", NOT_NEGATIVE),
    ("hw:tpm_model", Form::OneOf(&["tpm-tis", "tpm-crb"])),
    ("hw:tpm_version", Form::OneOf(&["1.2", "2.0"])),
    ("hw:tpm_secret_security", Form::OneOf(&["user", "host", "deployment"])),
    ("hw:watchdog_action", Form::OneOf(&["none", "pause", "poweroff", "reset", "disabled"])),
    ("hw:viommu_model", Form::OneOf(&["intel", "smmuv3", "virtio", "auto"])),
    ("hw:virtio_packed_ring", Form::Boolean),
    (
        "hw:sound_model",
        Form::OneOf(&["sb16", "es1370", "pcspk", "ac97", "ich6", "ich9", "usb", "virtio"]),
    ),
    ("hw:usb_model", Form::OneOf(&["qemu-xhci", "nec-xhci"])),
    ("hw:redirected_usb_ports", Form::Integer { min: 0, max: 15 }),
    ("hw:ephemeral_encryption", Form::Boolean),
    ("hw:ephemeral_encryption_format", Form::OneOf(&["plain", "luks", "luksv2"])),
    ("hw_rng:allowed", Form::Boolean),
    ("hw_rng:rate_bytes", NOT_NEGATIVE),
    ("hw_rng:rate_period", NOT_NEGATIVE),
    ("hw_video:ram_max_mb", NOT_NEGATIVE),
    ("hide_hypervisor_id", Form::Boolean),
    ("group_policy", Form::OneOf(&["isolate", "none"])),
    ("os:secure_boot", Form::OneOf(&["disabled", "required"])),
    ("pci_passthrough:alias", Form::Like(r"[^:]+:\d+(?:\s*,\s*[^:]+:\d+)*")),
    ("quota:cpu_shares", NOT_NEGATIVE),
    ("quota:cpu_period", NOT_NEGATIVE),
    ("quota:cpu_quota", ANY_INTEGER),
    ("quota:(cpu|memory|disk_io|vif)_limit", NOT_NEGATIVE),
    ("quota:(cpu|memory|disk_io|vif)_reservation", ANY_INTEGER),
    (
        "quota:(cpu|memory|disk_io|vif)_shares_level",
        Form::OneOf(&["custom", "high", "normal", "low"]),
    ),
    ("quota:(cpu|memory|disk_io|vif)_shares_share", NOT_NEGATIVE),
    ("quota:disk_(read|write|total)_(bytes|iops)_sec", NOT_NEGATIVE),
    ("quota:vif_(inbound|outbound)_(average|peak|burst)", NOT_NEGATIVE),
    // Standard names are not listed here: any name of a resource class or trait is taken.
    ("resources([a-zA-Z0-9_-]{1,64})?:[A-Z0-9_]+", ANY_INTEGER),
    ("trait([a-zA-Z0-9_-]{1,64})?:[A-Z0-9_]+", TRAIT),
    ("vmware:hw_version", Form::Text),
    ("vmware:storage_policy", Form::Text),
];

/// Namespaces in which a name that is not known is a mistake.
const NAMESPACES: &str = "accel|aggregate_instance_extra_specs|capabilities|hw|hw_rng|hw_video|os|\
    pci_passthrough|quota|resources([a-zA-Z0-9_-]{1,64})?|trait([a-zA-Z0-9_-]{1,64})?|vmware";

fn whole(pattern: &str) -> Option<Regex> {
    Regex::new(&format!("^(?:{pattern})$")).ok()
}

static NAMES: LazyLock<Vec<(Option<Regex>, Form)>> =
    LazyLock::new(|| KNOWN.iter().map(|(name, form)| (whole(name), *form)).collect());
static KNOWN_NAMESPACES: LazyLock<Option<Regex>> = LazyLock::new(|| whole(NAMESPACES));

/// Refuses a value that is not of its name's form, and unknown names in known namespaces.
pub(super) fn check(name: &str, value: &str) -> Result<()> {
    let known = NAMES.iter().find(|(regex, _)| regex.as_ref().is_some_and(|r| r.is_match(name)));
    if let Some((_, form)) = known {
        return form
            .check(value)
            .map_err(|why| Error::bad_request(format!("Validation failed; {why}")));
    }
    let Some((namespace, _)) = name.split_once(':') else { return Ok(()) };
    if KNOWN_NAMESPACES.as_ref().is_some_and(|regex| regex.is_match(namespace)) {
        return Err(Error::bad_request(format!(
            "Validation failed; extra spec '{name}' does not appear to be a valid extra spec."
        )));
    }
    Ok(())
}

impl Form {
    fn check(self, value: &str) -> std::result::Result<(), String> {
        match self {
            Form::Text => Ok(()),
            Form::Boolean => match validate::boolean_word(value) {
                Some(_) => Ok(()),
                None => Err(format!("'{value}' is not a valid boolean-like value.")),
            },
            Form::Integer { min, max } => match value.trim().parse::<i64>() {
                Err(_) => Err(format!("'{value}' is not a valid integer value.")),
                Ok(number) if number > max => {
                    Err(format!("'{number}' is greater than the max value of '{max}'."))
                }
                Ok(number) if number < min => {
                    Err(format!("'{number}' is less than the min value of '{min}'."))
                }
                Ok(_) => Ok(()),
            },
            Form::OneOf(words) if words.contains(&value) => Ok(()),
            Form::OneOf(words) => Err(format!("'{value}' is not one of: {}.", words.join(", "))),
            Form::Like(pattern) => match whole(pattern) {
                Some(regex) if regex.is_match(value) => Ok(()),
                _ => Err(format!("'{value}' is not of the format '{pattern}'.")),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pattern_compiles() {
        for (name, form) in KNOWN {
            assert!(whole(name).is_some(), "{name}");
            if let Form::Like(pattern) = form {
                assert!(whole(pattern).is_some(), "{pattern}");
            }
        }
        assert!(whole(NAMESPACES).is_some());
    }

    #[test]
    fn forms() {
        let say = |name, value| {
            check(name, value).map_or_else(|e| e.message().to_owned(), |()| "ok".into())
        };
        assert_eq!(say("hw:numa_nodes", "1"), "ok");
        assert_eq!(
            say("hw:numa_nodes", "0"),
            "Validation failed; '0' is less than the min value of '1'."
        );
        assert_eq!(
            say("hw:numa_nodes", "foo"),
            "Validation failed; 'foo' is not a valid integer value."
        );
        assert_eq!(
            say("hw:cpu_policy", "none"),
            "Validation failed; 'none' is not one of: dedicated, shared, mixed."
        );
        assert_eq!(
            say("hw:boot_menu", "maybe"),
            "Validation failed; 'maybe' is not a valid boolean-like value."
        );
        assert_eq!(
            say("hw:foo", "bar"),
            "Validation failed; extra spec 'hw:foo' does not appear to be a valid extra spec."
        );
        for (name, value) in [
            ("foo", "x"),
            ("foo:bar", "x"),
            ("trait:HW_CPU_X86_AVX", "required"),
            ("resources:VCPU", "2"),
            ("resources1:CUSTOM_FPGA", "1"),
            ("aggregate_instance_extra_specs:ssd", "true"),
            ("capabilities:hypervisor_type", "QEMU"),
        ] {
            assert_eq!(say(name, value), "ok", "{name}");
        }
    }
}
