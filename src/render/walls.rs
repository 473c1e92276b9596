//! Which walls stand around a renderer on this machine. Found out once for each program by running it behind them, so
//! that what is reported is what was seen to work.

use std::ffi::OsString;
use std::fmt;
use std::path::Path;

use super::Limits;

/// One wall.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wall {
    /// It stands.
    Up,
    /// The kernel or the machine does not allow it.
    Down,
}

impl fmt::Display for Wall {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Up => "up",
            Self::Down => "down",
        })
    }
}

/// The walls around one program. Whichever are down, it is given an empty environment, the closure's files alone, and
/// bounded time and output; and nothing that would fetch or run anything gets past the closure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Walls {
    /// It has no network, not even loopback.
    pub network: Wall,
    /// It sees the closure's files, read-only, and nothing else of the file system.
    pub files: Wall,
    /// Its processes are invisible to it beyond its own, and end with it.
    pub processes: Wall,
    /// The kernel bounds its memory, processor time and the size of files it writes.
    pub limits: Wall,
}

impl fmt::Display for Walls {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { network, files, processes, limits } = self;
        write!(out, "network {network}, files {files}, processes {processes}, limits {limits}")
    }
}

/// How a program is run, best first. Each is made of what util-linux and coreutils bring: `unshare`, `prlimit`,
/// `setpriv`, `mount`, `chroot`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Level {
    /// As `nobody` (we are root), in namespaces of its own, in a root of its own.
    SealedNobody,
    /// As ourselves, in namespaces of its own, in a root of its own.
    Sealed,
    /// As [`Level::Sealed`] where only real root may make namespaces; the program runs as `nobody`.
    SealedByRoot,
    /// In a network and process namespace of its own.
    Apart,
    /// The same where only real root may make namespaces.
    ApartByRoot,
    /// Under the kernel's limits alone.
    Limited,
    /// Nothing but time and output.
    Bare,
}

pub(super) const LEVELS: [Level; 7] = [
    Level::SealedNobody,
    Level::Sealed,
    Level::SealedByRoot,
    Level::Apart,
    Level::ApartByRoot,
    Level::Limited,
    Level::Bare,
];

/// Runs in the new mount namespace: binds the box read-only with the program in it, and enters it.
/// Arguments: what the machine is called in there, the box, the program, options for `chroot`, then the program's own.
const ENTER: &str = r#"set -e
hostname "$1" 2>/dev/null || :
root=$2 program=$3 as=$4; shift 4
mount --bind "$root" "$root"
mount --bind "$program" "$root/bin/renderer"
mount -t tmpfs -o size=64m,mode=1777 none "$root/tmp"
mount -o remount,bind,ro "$root/bin/renderer"
mount -o remount,bind,ro "$root"
cd "$root"
enter=$(command -v chroot)
unset PATH PWD OLDPWD
exec "$enter" $as "$root" /bin/renderer "$@""#;

/// The same without a box.
const RENAME: &str = r#"hostname "$1" 2>/dev/null || :
program=$2; shift 2; unset PATH PWD OLDPWD; exec "$program" "$@""#;

/// Forgets the path that found us and becomes the program.
const BECOME: &str = r#"program=$1; shift; unset PATH PWD OLDPWD; exec "$program" "$@""#;

impl Level {
    pub(super) fn walls(self) -> Walls {
        let (up, down) = (Wall::Up, Wall::Down);
        match self {
            Self::SealedNobody | Self::Sealed | Self::SealedByRoot => {
                Walls { network: up, files: up, processes: up, limits: up }
            }
            Self::Apart | Self::ApartByRoot => Walls { network: up, files: down, processes: up, limits: up },
            Self::Limited => Walls { network: down, files: down, processes: down, limits: up },
            Self::Bare => Walls { network: down, files: down, processes: down, limits: down },
        }
    }

    /// Whether the program sees the box as its root.
    pub(super) fn is_sealed(self) -> bool {
        self.walls().files == Wall::Up
    }

    /// Whether the machine has a name of its own in there.
    pub(super) fn is_renamed(self) -> bool {
        self.walls().processes == Wall::Up
    }

    /// The words before the program's own arguments. `root` is the box, `host` what the machine is called in there.
    pub(super) fn command(self, (root, host): (&Path, &str), program: &Path, limits: &Limits) -> Vec<OsString> {
        let mut words: Vec<OsString> = Vec::new();
        let mut add = |more: &[&str]| words.extend(more.iter().map(OsString::from));
        let apart = ["--net", "--ipc", "--uts", "--pid", "--mount", "--fork", "--kill-child"];
        let own = [&["unshare", "--user", "--map-root-user"][..], &apart].concat();
        let by_root = [&["unshare"][..], &apart].concat();
        match self {
            Self::SealedNobody => {
                add(&["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--no-new-privs"]);
                add(&own);
            }
            Self::Sealed | Self::Apart => add(&own),
            Self::SealedByRoot | Self::ApartByRoot => add(&by_root),
            Self::Limited | Self::Bare => {}
        }
        if self.walls().limits == Wall::Up {
            let cpu = format!("--cpu={}", limits.cpu.as_secs());
            // What it allocates. Its address space says nothing: a Go program reserves gigabytes it never touches.
            let memory = format!("--data={}", limits.memory);
            let file = format!("--fsize={}", limits.output);
            add(&["prlimit", &cpu, &memory, &file, "--nofile=256", "--core=0"]);
            // Counted for the whole user where there is no user namespace, so only bounded where there is one.
            if matches!(self, Self::SealedNobody | Self::Sealed | Self::Apart) {
                add(&[&format!("--nproc={}", limits.processes)]);
            }
            add(&["--"]);
        }
        let become_nobody = if self == Self::SealedByRoot { "--userspec=65534:65534" } else { "" };
        if self.is_sealed() {
            add(&["sh", "-c", ENTER, "box", host]);
            words.extend([root.as_os_str().to_owned(), program.as_os_str().to_owned(), become_nobody.into()]);
        } else {
            if self.is_renamed() {
                add(&["sh", "-c", RENAME, "box", host]);
            } else {
                add(&["sh", "-c", BECOME, "box"]);
            }
            words.push(program.as_os_str().to_owned());
        }
        words
    }
}
