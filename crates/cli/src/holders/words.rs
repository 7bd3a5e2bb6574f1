//! Users of a device in words, and how each is ended.

use super::user::{is_multipath, User, What};
use crate::shell::{self, printable};
use std::path::Path;

/// What `own`, a device by its name in the kernel, is used by; other devices than that are named.
pub fn described(users: &[User], own: Option<String>) -> String {
    let one = |user: &User| match &own {
        Some(own) if *own != user.of => format!("/dev/{} is {}", printable(&user.of), clause(user)),
        _ => clause(user),
    };
    users.iter().map(one).collect::<Vec<_>>().join(", ")
}

fn clause(user: &User) -> String {
    let what = match &user.what {
        What::Mount(at) => format!("mounted at {}", shown(at)),
        What::Btrfs(uuid) => format!("part of the mounted btrfs filesystem {uuid}"),
        What::Swap(_) => "used as swap".into(),
        What::Unnamed => {
            "claimed by something that sysfs does not name (a filesystem on several devices, ZFS, a mount in another \
             namespace, a program)"
                .into()
        }
        What::Loop(name) | What::Device(name) => format!("used by {}", printable(name)),
        What::Mapped { is_set: true, name, .. } => format!("used by dm-remap set {}", printable(name)),
        What::Mapped { name, uuid, .. } => format!("used by {}", mapped(name, uuid)),
    };
    let above: Vec<String> = user.above.iter().map(clause).collect();
    match &user.what {
        _ if !above.is_empty() => format!("{what} ({})", above.join(", ")),
        What::Mapped { open_count: Some(0), .. } => format!("{what} (not open)"),
        What::Mapped { open_count: Some(_), .. } => format!("{what} (open)"),
        _ => what,
    }
}

/// A mapped device by what made it, which its UUID tells.
fn mapped(name: &str, uuid: &str) -> String {
    let shown = printable(name);
    if let Some((vg, lv)) = lvm(name, uuid) {
        return format!("LVM volume {}/{}", printable(&vg), printable(&lv));
    }
    let kind = match uuid {
        _ if uuid.starts_with("CRYPT-") => "crypt device",
        _ if is_multipath(uuid) => "multipath device",
        _ => "mapped device",
    };
    format!("{kind} {shown}")
}

/// Volume group and logical volume of a mapped device of LVM: `a--b-c` is c in a-b.
fn lvm(name: &str, uuid: &str) -> Option<(String, String)> {
    let rest = uuid.strip_prefix("LVM-").map(|_| name)?;
    // A hyphen that is alone separates; two are one of the name.
    let bytes = rest.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        match (bytes.get(at), bytes.get(at + 1)) {
            (Some(b'-'), Some(b'-')) => at += 2,
            (Some(b'-'), _) => {
                return Some((rest[..at].replace("--", "-"), rest[at + 1..].replace("--", "-")));
            }
            _ => at += 1,
        }
    }
    None
}

/// How all users are ended, in the order in which that works: what is on top goes first.
pub fn steps(users: &[User]) -> String {
    let mut steps: Vec<String> = Vec::new();
    for user in users {
        collect(user, &mut steps);
    }
    steps.join(", then ")
}

fn collect(user: &User, steps: &mut Vec<String>) {
    for above in &user.above {
        collect(above, steps);
    }
    // LVM takes its inner devices away with the volume that is made of them.
    let is_lvm = |user: &User| matches!(&user.what, What::Mapped { uuid, .. } if uuid.starts_with("LVM-"));
    if is_lvm(user) && user.above.iter().any(is_lvm) {
        return;
    }
    let step = step(user);
    if !steps.contains(&step) {
        steps.push(step);
    }
}

fn step(user: &User) -> String {
    match &user.what {
        What::Mount(at) => format!("`umount {}`", quoted(at)),
        What::Btrfs(uuid) => format!("unmount the btrfs filesystem {uuid}"),
        What::Swap(path) => format!("`swapoff {}`", quoted(path)),
        What::Loop(name) => format!("`losetup --detach /dev/{name}`"),
        What::Device(name) if name.starts_with("md") => format!("`mdadm --stop /dev/{name}`"),
        What::Device(name) => format!("stop {}", printable(name)),
        What::Unnamed => format!("end what claims it (`lsof /dev/{}` may tell)", user.of),
        What::Mapped { is_set: true, name, .. } => format!("`dmremap close {}`", quoted(Path::new(name))),
        What::Mapped { name, uuid, .. } => {
            let shown = quoted(Path::new(name));
            let kind = |prefix: &str| uuid.starts_with(prefix);
            match lvm(name, uuid) {
                Some((vg, lv)) => format!("`lvchange --activate n {}/{}`", printable(&vg), printable(&lv)),
                None if kind("CRYPT-VERITY-") => format!("`veritysetup close {shown}`"),
                None if kind("CRYPT-INTEGRITY-") => format!("`integritysetup close {shown}`"),
                None if kind("CRYPT-") => format!("`cryptsetup close {shown}`"),
                None if is_multipath(uuid) => {
                    // For a partition of the disk, kpartx or multipath makes a mapped device of its own.
                    let main = printable(name);
                    format!(
                        "give /dev/mapper/{main}, or its partition of the same number, in place of a path that it uses"
                    )
                }
                None => format!("`dmsetup remove {shown}`"),
            }
        }
    }
}

fn shown(path: &Path) -> String {
    printable(&path.to_string_lossy())
}

/// As a shell takes it.
fn quoted(path: &Path) -> String {
    shell::quoted(&path.to_string_lossy())
}
