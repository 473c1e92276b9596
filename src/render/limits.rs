//! How much a render may be.

use std::time::Duration;

/// Ceilings of one render. Each is far above what real repositories need, and far below what hurts the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Files of a closure.
    pub files: usize,
    /// Bytes of one file. A ConfigMap or CRD cannot be larger than an object the API server takes (1.5 MB).
    pub file_bytes: u64,
    /// Bytes of all files of a closure together.
    pub bytes: u64,
    /// Kustomizations of a closure. kustomize itself takes quadratic time in them.
    pub kustomizations: usize,
    /// Nesting of folders below the one that is rendered.
    pub depth: usize,
    /// Bytes of all files in an archive below `charts/`, nested ones included.
    pub unpacked: u64,
    /// Unpacked bytes for each packed one, judged above 1 MiB. Text packs 5 to 20 fold.
    pub ratio: u64,
    /// Files of an archive.
    pub entries: usize,
    /// Processor time of a renderer.
    pub cpu: Duration,
    /// Wall-clock time of a renderer: long enough that on a busy machine the processor time is what ends it.
    pub time: Duration,
    /// Bytes of memory of a renderer.
    pub memory: u64,
    /// Processes and threads of a renderer, where the kernel counts them for the box alone.
    pub processes: u64,
    /// Bytes a renderer may print.
    pub output: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            files: 10_000,
            file_bytes: 5 << 20,
            bytes: 64 << 20,
            kustomizations: 1_000,
            depth: 64,
            unpacked: 64 << 20,
            ratio: 50,
            entries: 10_000,
            cpu: Duration::from_secs(60),
            time: Duration::from_secs(180),
            memory: 512 << 20,
            processes: 64,
            output: 32 << 20,
        }
    }
}
