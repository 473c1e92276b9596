//! Where PostgreSQL's own programs are, and of which major version.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::EmbeddedError;

/// As in `db::pool`: the oldest we are tested on.
const OLDEST: u32 = 15;

/// Where Debian, Red Hat and Homebrew (both of its places) put them, a folder per version; on Debian they are not on
/// `PATH`. The folder, and how a version's name begins in it.
const HOMES: [(&str, &str); 4] = [
    ("/usr/lib/postgresql", ""),
    ("/usr", "pgsql-"),
    ("/opt/homebrew/opt", "postgresql@"),
    ("/usr/local/opt", "postgresql@"),
];

/// The folder of one major version's programs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Programs {
    folder: PathBuf,
    major: u32,
}

impl Programs {
    /// Those that wrote `cluster`, or the newest where there is none yet.
    pub(super) fn find(cluster: &Path) -> Result<Self, EmbeddedError> {
        let wrote = fs::read_to_string(cluster.join("PG_VERSION")).ok().and_then(|text| text.trim().parse().ok());
        choose(everywhere(), cluster, wrote)
    }

    /// One of them.
    pub(super) fn path(&self, program: &str) -> PathBuf {
        self.folder.join(program)
    }
}

fn choose(mut here: Vec<Programs>, cluster: &Path, wrote: Option<u32>) -> Result<Programs, EmbeddedError> {
    here.sort_by_key(|programs| programs.major);
    let newest = here.last().ok_or(EmbeddedError::NoPrograms)?.clone();
    match wrote {
        None if newest.major < OLDEST => Err(EmbeddedError::ProgramsTooOld { found: newest.major }),
        None => Ok(newest),
        Some(wrote) => {
            let mut majors: Vec<String> = here.iter().map(|programs| programs.major.to_string()).collect();
            majors.dedup();
            here.into_iter().find(|programs| programs.major == wrote).ok_or_else(|| EmbeddedError::OtherMajor {
                folder: cluster.to_owned(),
                wrote,
                here: majors.join(", "),
            })
        }
    }
}

/// All on this machine: the known places, and `PATH`.
fn everywhere() -> Vec<Programs> {
    let mut found = Vec::new();
    for (home, begins) in HOMES {
        let versions = fs::read_dir(home).into_iter().flatten().flatten();
        let versions = versions.filter(|entry| entry.file_name().to_string_lossy().starts_with(begins));
        let folders = versions.map(|entry| entry.path().join("bin"));
        found
            .extend(folders.filter_map(|folder| Some(Programs { major: major_of(&folder.join("postgres"))?, folder })));
    }
    if let Some(major) = major_of(Path::new("postgres")) {
        found.extend(on_path().map(|folder| Programs { folder, major }));
    }
    found.retain(|programs| programs.path("initdb").exists());
    found
}

fn major_of(postgres: &Path) -> Option<u32> {
    if postgres.is_absolute() && !postgres.exists() {
        return None;
    }
    let said = Command::new(postgres).arg("--version").output().ok()?;
    // "postgres (PostgreSQL) 15.12 (Debian 15.12-0+deb12u2)", "postgres (PostgreSQL) 18beta1"
    let text = String::from_utf8_lossy(&said.stdout).into_owned();
    let version = text.split(") ").nth(1)?;
    version.chars().take_while(char::is_ascii_digit).collect::<String>().parse().ok()
}

/// The folder `PATH` finds `postgres` in, links followed, as the other programs are beside the real one.
fn on_path() -> Option<PathBuf> {
    let said = Command::new("sh").args(["-c", "command -v postgres"]).output().ok()?;
    let path = PathBuf::from(String::from_utf8_lossy(&said.stdout).trim());
    Some(path.canonicalize().ok()?.parent()?.to_owned())
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::*;

    fn here(majors: &[u32]) -> Vec<Programs> {
        majors.iter().map(|major| Programs { folder: PathBuf::from(format!("/{major}")), major: *major }).collect()
    }

    fn chosen(majors: &[u32], wrote: Option<u32>) -> String {
        match choose(here(majors), Path::new("data/postgres/cluster"), wrote) {
            Ok(programs) => programs.path("postgres").display().to_string(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn new_data_gets_the_newest_and_old_data_the_one_that_wrote_it() {
        assert_eq!(chosen(&[17, 9, 15], None), "/17/postgres");
        assert_eq!(chosen(&[17, 15], Some(15)), "/15/postgres");
        assert_snapshot!(chosen(&[15, 17, 17], Some(16)), @"the embedded database in data/postgres/cluster was written by PostgreSQL 16, and only PostgreSQL 15, 17 is installed: install PostgreSQL 16 again, or convert the files with pg_upgrade");
        assert_snapshot!(chosen(&[14, 13], None), @"PostgreSQL 14 is too old for the embedded database: install PostgreSQL 15 or newer, or set `database.url`");
        assert_snapshot!(chosen(&[], None), @"PostgreSQL's programs (initdb, postgres) were not found on PATH or in /usr/lib/postgresql: install PostgreSQL 15 or newer (Debian: apt-get install postgresql), or set `database.url`");
    }
}
