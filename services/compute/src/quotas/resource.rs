//! The things that a quota counts, with Nova's names and its defaults.

/// A thing with a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Resource {
    /// Virtual CPUs of a project's servers.
    Cores,
    /// Of nova-network; shown, never counted.
    FixedIps,
    /// Of nova-network; shown, never counted.
    FloatingIps,
    /// Bytes of one injected file.
    InjectedFileContentBytes,
    /// Length of an injected file's path.
    InjectedFilePathBytes,
    /// Files injected into one server.
    InjectedFiles,
    /// Servers of a project.
    Instances,
    /// Key pairs of a user.
    KeyPairs,
    /// Metadata items of one server.
    MetadataItems,
    /// MiB of memory of a project's servers.
    Ram,
    /// Of nova-network; shown, never counted.
    SecurityGroupRules,
    /// Of nova-network; shown, never counted.
    SecurityGroups,
    /// Servers of one user in one group.
    ServerGroupMembers,
    /// Server groups of a project.
    ServerGroups,
}

impl Resource {
    /// All of them, by name.
    pub const ALL: [Resource; 14] = [
        Resource::Cores,
        Resource::FixedIps,
        Resource::FloatingIps,
        Resource::InjectedFileContentBytes,
        Resource::InjectedFilePathBytes,
        Resource::InjectedFiles,
        Resource::Instances,
        Resource::KeyPairs,
        Resource::MetadataItems,
        Resource::Ram,
        Resource::SecurityGroupRules,
        Resource::SecurityGroups,
        Resource::ServerGroupMembers,
        Resource::ServerGroups,
    ];

    /// Its name on the wire and in records.
    pub fn name(self) -> &'static str {
        match self {
            Resource::Cores => "cores",
            Resource::FixedIps => "fixed_ips",
            Resource::FloatingIps => "floating_ips",
            Resource::InjectedFileContentBytes => "injected_file_content_bytes",
            Resource::InjectedFilePathBytes => "injected_file_path_bytes",
            Resource::InjectedFiles => "injected_files",
            Resource::Instances => "instances",
            Resource::KeyPairs => "key_pairs",
            Resource::MetadataItems => "metadata_items",
            Resource::Ram => "ram",
            Resource::SecurityGroupRules => "security_group_rules",
            Resource::SecurityGroups => "security_groups",
            Resource::ServerGroupMembers => "server_group_members",
            Resource::ServerGroups => "server_groups",
        }
    }

    /// By its name.
    pub fn named(name: &str) -> Option<Resource> {
        Resource::ALL.into_iter().find(|resource| resource.name() == name)
    }

    /// The limit where nobody has set one; -1 is no limit.
    pub fn default_limit(self) -> i64 {
        match self {
            Resource::Cores => 20,
            Resource::Instances | Resource::ServerGroups | Resource::ServerGroupMembers => 10,
            Resource::Ram => 50 * 1024,
            Resource::KeyPairs => 100,
            Resource::MetadataItems => 128,
            Resource::InjectedFiles => 5,
            Resource::InjectedFileContentBytes => 10 * 1024,
            Resource::InjectedFilePathBytes => 255,
            Resource::FixedIps
            | Resource::FloatingIps
            | Resource::SecurityGroups
            | Resource::SecurityGroupRules => -1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_sorted_and_found_again() {
        let names: Vec<_> = Resource::ALL.iter().map(|resource| resource.name()).collect();
        assert!(names.is_sorted(), "{names:?}");
        for resource in Resource::ALL {
            assert_eq!(Resource::named(resource.name()), Some(resource));
        }
        assert_eq!(Resource::named("floating_cores"), None);
    }
}
