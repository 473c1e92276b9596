//! Packed charts (`charts/*.tgz`), looked through before helm unpacks them: an archive can name files outside of where it
//! is unpacked, be a thousand times larger than it looks, and hide another archive.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;

use flate2::read::MultiGzDecoder;
use serde_json::Value;

use super::closure::CHART;
use super::lookups::Lookups;
use super::paths::{LONGEST_NAME, LONGEST_PATH};
use super::words::Words;
use super::yaml::mapping;
use super::{Limits, RenderError};

/// Archives within archives deeper than this are refused.
const NESTING: usize = 4;
const BLOCK: usize = 512;

/// What the templates in an archive say, and where they look into the cluster.
///
/// # Errors
/// [`RenderError`] for anything that helm should not be given.
pub(super) fn inspect(file: &str, packed: &[u8], limits: &Limits) -> Result<(Words, Lookups), RenderError> {
    let mut inspection = Inspection::new(file, limits, None);
    inspection.archive(packed, 0)?;
    Ok((inspection.words, inspection.lookups))
}

/// The files of an archive, by their paths in it; archives within it stay packed.
///
/// # Errors
/// As [`inspect`].
pub(super) fn files(file: &str, packed: &[u8], limits: &Limits) -> Result<BTreeMap<String, Vec<u8>>, RenderError> {
    let mut inspection = Inspection::new(file, limits, Some(BTreeMap::new()));
    inspection.archive(packed, 0)?;
    Ok(inspection.kept.unwrap_or_default())
}

/// A schema may name others, and helm would fetch or open them: only names within itself are let through.
pub(super) fn check_schema(file: &str, text: &[u8]) -> Result<(), RenderError> {
    let unreadable =
        |error: serde_json::Error| RenderError::Unreadable { file: file.to_owned(), why: error.to_string() };
    let schema: Value = serde_json::from_slice(text).map_err(unreadable)?;
    let mut open = vec![&schema];
    while let Some(value) = open.pop() {
        match value {
            Value::Array(items) => open.extend(items),
            Value::Object(map) => {
                for (key, value) in map {
                    let text = value.as_str();
                    let names = ["$ref", "$dynamicRef", "$recursiveRef"].contains(&key.as_str());
                    let dialect = |text: &str| {
                        let rest = text.split_once("://").map(|(_, rest)| rest);
                        rest.is_some_and(|rest| rest.starts_with("json-schema.org/"))
                    };
                    let outside = text.is_some_and(|text| names && !text.starts_with('#'))
                        || text.is_some_and(|text| key == "$schema" && !dialect(text));
                    if outside {
                        let printable: String =
                            text.unwrap_or_default().chars().take(120).flat_map(char::escape_debug).collect();
                        let why = format!(
                            "`{key}: {printable}` names something outside the schema: nothing is fetched while rendering"
                        );
                        return Err(RenderError::refused(file, why));
                    }
                    open.push(value);
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    Ok(())
}

struct Inspection<'a> {
    file: &'a str,
    limits: &'a Limits,
    unpacked: u64,
    entries: usize,
    words: Words,
    lookups: Lookups,
    /// The outermost archive's files, where they are wanted.
    kept: Option<BTreeMap<String, Vec<u8>>>,
}

impl<'a> Inspection<'a> {
    fn new(file: &'a str, limits: &'a Limits, kept: Option<BTreeMap<String, Vec<u8>>>) -> Self {
        let (words, lookups) = (Words::default(), Lookups::default());
        Self { file, limits, unpacked: 0, entries: 0, words, lookups, kept }
    }

    fn refused(&self, why: impl Into<String>) -> RenderError {
        RenderError::refused(self.file, why)
    }

    fn archive(&mut self, packed: &[u8], depth: usize) -> Result<(), RenderError> {
        if depth > NESTING {
            return Err(self.refused(format!("archives are nested more than {NESTING} deep")));
        }
        let text = self.unpack(packed)?;
        let mut names = BTreeSet::new();
        let mut rest = text.as_slice();
        let mut long_name: Option<String> = None;
        while let Some(header) = rest.get(..BLOCK).filter(|header| header.iter().any(|b| *b != 0)) {
            let (size, kind, short) = self.header(header)?;
            let body = rest
                .get(BLOCK..)
                .and_then(|rest| rest.get(..size))
                .ok_or_else(|| self.refused("the archive is cut off"))?;
            let step = BLOCK + size.div_ceil(BLOCK) * BLOCK;
            rest = rest.get(step..).unwrap_or_default();
            match kind {
                b'0' | 0 | b'5' => {
                    let name = long_name.take().unwrap_or(short);
                    self.entry(&name, kind == b'5', body, &mut names, depth)?;
                }
                b'x' => long_name = self.extended(body)?.or(long_name),
                b'L' => long_name = Some(String::from_utf8_lossy(body).trim_end_matches('\0').to_owned()),
                b'g' if self.extended(body)?.is_none() => {}
                _ => return Err(self.refused("the archive holds a link, a device or something else that is no file")),
            }
        }
        Ok(())
    }

    /// Unpacks into memory, up to the limits.
    fn unpack(&mut self, packed: &[u8]) -> Result<Vec<u8>, RenderError> {
        let by_ratio = (packed.len() as u64).saturating_mul(self.limits.ratio).max(1 << 20);
        let left = self.limits.unpacked.saturating_sub(self.unpacked);
        let allowed = by_ratio.min(left);
        let mut text = Vec::new();
        let read = MultiGzDecoder::new(packed).take(allowed + 1).read_to_end(&mut text);
        read.map_err(|_| self.refused("it is not a gzip archive, or damaged"))?;
        if text.len() as u64 > allowed {
            return Err(self.refused(format!(
                "unpacked it is more than {} MiB, or more than {} times its size",
                self.limits.unpacked >> 20,
                self.limits.ratio
            )));
        }
        self.unpacked += text.len() as u64;
        Ok(text)
    }

    /// Size, type and name of a tar header.
    fn header(&self, header: &[u8]) -> Result<(usize, u8, String), RenderError> {
        let field = |from: usize, to: usize| {
            let bytes = header.get(from..to).unwrap_or_default();
            bytes.split(|b| *b == 0).next().unwrap_or_default()
        };
        let octal = String::from_utf8_lossy(field(124, 136)).trim().to_owned();
        let size = usize::from_str_radix(&octal, 8).ok();
        let size = size.filter(|size| *size as u64 <= self.limits.file_bytes);
        let size = size.ok_or_else(|| {
            self.refused(format!(
                "a file in it is larger than {} MiB, or its size cannot be read",
                self.limits.file_bytes >> 20
            ))
        })?;
        let name = String::from_utf8_lossy(field(0, 100)).into_owned();
        let prefix = String::from_utf8_lossy(field(345, 500)).into_owned();
        let ustar = header.get(257..262) == Some(b"ustar") && !prefix.is_empty();
        let kind = header.get(156).copied().unwrap_or_default();
        Ok((size, kind, if ustar { format!("{prefix}/{name}") } else { name }))
    }

    /// The path of a pax record. A size or link there would contradict what was read.
    fn extended(&self, mut body: &[u8]) -> Result<Option<String>, RenderError> {
        let mut path = None;
        while !body.is_empty() {
            let space = body.iter().position(|b| *b == b' ');
            let length = space.and_then(|space| std::str::from_utf8(body.get(..space)?).ok()?.parse::<usize>().ok());
            let record = length
                .and_then(|length| body.get(space? + 1..length))
                .and_then(|record| std::str::from_utf8(record).ok());
            let Some((key, value)) = record.and_then(|record| record.trim_end_matches('\n').split_once('=')) else {
                return Err(self.refused("the archive's extended header cannot be read"));
            };
            match key {
                "path" => path = Some(value.to_owned()),
                "size" | "linkpath" => return Err(self.refused("the archive's extended header names a size or a link")),
                key if key.starts_with("GNU.sparse") => return Err(self.refused("the archive holds a sparse file")),
                _ => {}
            }
            body = body.get(length.unwrap_or(body.len())..).unwrap_or_default();
        }
        Ok(path)
    }

    fn entry(
        &mut self,
        name: &str,
        is_folder: bool,
        body: &[u8],
        names: &mut BTreeSet<String>,
        depth: usize,
    ) -> Result<(), RenderError> {
        self.entries += 1;
        if self.entries > self.limits.entries {
            return Err(self.refused(format!("it holds more than {} files", self.limits.entries)));
        }
        let printable: String = name.chars().take(120).flat_map(char::escape_debug).collect();
        let outside =
            name.starts_with('/') || name.contains(['\\', '\0', ':']) || name.split('/').any(|part| part == "..");
        if outside {
            return Err(self.refused(format!("the archive's entry `{printable}` is absolute or leaves its folder")));
        }
        let parts: Vec<&str> = name.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
        if is_folder {
            return Ok(());
        }
        let path = parts.join("/");
        if path.len() > LONGEST_PATH || parts.iter().any(|part| part.len() > LONGEST_NAME) {
            return Err(
                self.refused(format!("the archive's entry `{printable}` has a longer name than a file can have"))
            );
        }
        let below = format!("{path}/");
        let is_folder = names.range(below.clone()..).next().is_some_and(|next| next.starts_with(&below));
        if is_folder || path.match_indices('/').any(|(end, _)| path.get(..end).is_some_and(|at| names.contains(at))) {
            return Err(self.refused(format!("the archive holds `{printable}` as a file and as a folder")));
        }
        if !names.insert(path.clone()) {
            return Err(self.refused(format!("the archive holds `{printable}` twice")));
        }
        if let Some(kept) = self.kept.as_mut().filter(|_| depth == 0) {
            kept.insert(path.clone(), body.to_vec());
        }
        let last = parts.last().copied().unwrap_or_default();
        if last == "values.schema.json" {
            check_schema(&format!("{}: {printable}", self.file), body)?;
        }
        if last.ends_with(".tgz") {
            return self.archive(body, depth + 1);
        }
        // What helm makes templates of; the rest is only read, and where that is said.
        let is_template = parts.iter().rev().skip(1).any(|folder| *folder == "templates");
        if is_template || last == "values.yaml" {
            self.words.read(body);
            self.lookups.read(&format!("{}: {printable}", self.file), body);
        }
        if last == CHART {
            self.words.asks_cluster |=
                mapping(&format!("{}: {printable}", self.file), body)?.contains_key("kubeVersion");
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "archive_tests.rs"]
mod tests;
