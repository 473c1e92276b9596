//! Is the log whole? Pure: rows and checkpoints in, findings out. The server's own check and `--offline` share it.

use jiff::Timestamp;
use serde::Serialize;

use super::checkpoint::{Checkpoint, ENTRIES, SECONDS};
use super::row::{self, Row};

/// Something that is not as it was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "finding", rename_all = "snake_case")]
pub enum Finding {
    /// The entry's fields are not what its hash covers.
    Changed {
        /// Which entry.
        seq: i64,
    },
    /// The number expected here is not there: removed or reordered.
    Missing {
        /// Which entry.
        seq: i64,
    },
    /// The entry does not follow the one before it.
    Unchained {
        /// Which entry.
        seq: i64,
    },
    /// The log ends before a signed head: its tail was cut off.
    Cut {
        /// How many entries there are.
        size: i64,
        /// How many the signed head counted.
        signed: i64,
    },
    /// The chain is whole but is not the one that was signed: it was written anew.
    Rewritten {
        /// The signed head that disagrees.
        signed: i64,
    },
    /// A head is signed every [`SECONDS`] or [`ENTRIES`], and there is none for these: heads are missing, or none are signed.
    Unvouched {
        /// The newest entry that is vouched for; 0 for none.
        after: i64,
        /// How many come after it.
        entries: i64,
        /// When the first of those was written.
        since: Timestamp,
    },
    /// The export says that there was a signed head of so many entries when it was made; it is not among those at hand.
    HeadGone {
        /// The size of that head.
        signed: i64,
    },
    /// The export does not end with the entry of its own making: its end was cut off.
    Unended {
        /// The last entry there is; 0 for none.
        seq: i64,
    },
    /// A checkpoint whose signature does not verify: it was forged, or belongs to another key.
    BadSignature {
        /// The size it claims.
        signed: i64,
    },
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Entries read.
    pub entries: i64,
    /// Good checkpoints held against them.
    pub checkpoints: usize,
    /// The newest entry a signed head outside the database vouches for; 0 for none.
    pub vouched: i64,
    /// When that head was signed.
    pub vouched_at: Option<Timestamp>,
    /// When the first good head was signed: heads from before it are not there (any more).
    pub signed_since: Option<Timestamp>,
    /// Empty when the log is whole. At most [`MOST_FINDINGS`].
    pub findings: Vec<Finding>,
}

impl Report {
    /// Whether nothing was found.
    pub fn is_whole(&self) -> bool {
        self.findings.is_empty()
    }
}

/// Enough to see the pattern; a rewritten log of a million rows need not be listed whole.
pub const MOST_FINDINGS: usize = 100;

/// What comes after the newest signed head may be twice as long, or old, as it becomes when all goes well: a head that is
/// being signed while somebody looks is not missing.
const SLACK: i64 = 2;

/// Reads the log once, row by row, so that it need not fit in memory.
pub struct Verifier {
    checkpoints: Vec<Checkpoint>,
    next_checkpoint: usize,
    seq: i64,
    previous: Vec<u8>,
    /// When the entry read last was written.
    at: Timestamp,
    /// When the first entry after the newest signed head was written.
    unvouched_since: Option<Timestamp>,
    report: Report,
}

impl Verifier {
    /// Begins with the checkpoints to hold the rows against, in any order; `public_key` is what they must be signed by.
    pub fn new(checkpoints: Vec<Checkpoint>, public_key: &[u8]) -> Self {
        let (mut good, bad): (Vec<_>, Vec<_>) = checkpoints.into_iter().partition(|one| one.is_signed_by(public_key));
        good.sort_by(|a, b| (a.size, a.at, &a.hash).cmp(&(b.size, b.at, &b.hash)));
        good.dedup_by(|a, b| (a.size, a.at, &a.hash) == (b.size, b.at, &b.hash));
        let report = Report {
            entries: 0,
            checkpoints: good.len(),
            vouched: 0,
            vouched_at: None,
            signed_since: good.iter().map(|one| one.at).min(),
            findings: Vec::new(),
        };
        let mut verifier = Self {
            checkpoints: good,
            next_checkpoint: 0,
            seq: 0,
            previous: vec![0; 32],
            at: Timestamp::UNIX_EPOCH,
            unvouched_since: None,
            report,
        };
        for one in bad {
            verifier.find(Finding::BadSignature { signed: one.size });
        }
        verifier
    }

    /// Begins after a head that was verified before: what follows it has to continue its chain.
    pub(super) fn after(head: Option<&Checkpoint>) -> Self {
        let mut verifier = Self::new(Vec::new(), &[]);
        if let Some(head) = head {
            verifier.seq = head.size;
            verifier.previous.clone_from(&head.hash);
        }
        verifier
    }

    /// The entry read last: its number and its hash.
    pub(super) fn head(&self) -> (i64, &[u8]) {
        (self.seq, &self.previous)
    }

    /// The next row, in ascending order of `seq`.
    pub fn row(&mut self, row: &Row) {
        self.report.entries += 1;
        let expected = self.seq + 1;
        if row.seq > expected {
            self.find(Finding::Missing { seq: expected });
        } else if row.seq < expected || row.previous != self.previous {
            self.find(Finding::Unchained { seq: row.seq });
        }
        if row::hash(row)[..] != row.hash[..] {
            self.find(Finding::Changed { seq: row.seq });
        }
        self.seq = row.seq;
        self.previous.clone_from(&row.hash);
        self.at = row.at;
        self.unvouched_since.get_or_insert(row.at);
        while let Some(checkpoint) = self.checkpoints.get(self.next_checkpoint).filter(|one| one.size <= self.seq) {
            let (signed, at) = (checkpoint.size, checkpoint.at);
            let is_this = signed == self.seq && checkpoint.hash == self.previous;
            self.next_checkpoint += 1;
            if is_this {
                self.report.vouched = signed;
                self.report.vouched_at = Some(at);
                self.unvouched_since = None;
            } else if signed > 0 {
                self.find(Finding::Rewritten { signed });
            }
        }
    }

    /// When the entry read last was written.
    pub(super) fn newest(&self) -> Timestamp {
        self.at
    }

    /// What was found first.
    pub(super) fn first(&self) -> Option<Finding> {
        self.report.findings.first().cloned()
    }

    /// The end of the log, as it was at `now`.
    pub fn end(mut self, now: Timestamp) -> Report {
        if let Some(signed) = self.checkpoints.last().map(|one| one.size).filter(|size| *size > self.seq) {
            self.find(Finding::Cut { size: self.seq, signed });
        }
        let (after, entries) = (self.report.vouched, self.seq - self.report.vouched);
        if let Some(since) = self.unvouched_since {
            let seconds = i64::try_from(SECONDS).unwrap_or(i64::MAX);
            if entries > SLACK * ENTRIES || now.duration_since(since).as_secs() > SLACK * seconds {
                self.find(Finding::Unvouched { after, entries, since });
            }
        }
        self.report
    }

    pub(super) fn find(&mut self, finding: Finding) {
        if self.report.findings.len() < MOST_FINDINGS {
            self.report.findings.push(finding);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::checkpoint::Signer;
    use crate::ids::TraceId;

    fn log(count: i64) -> Vec<Row> {
        let mut previous = vec![0; 32];
        (1..=count)
            .map(|seq| {
                let mut row = Row {
                    seq,
                    at: Timestamp::from_microsecond(seq).unwrap(),
                    actor: "work/alice (3)".to_owned(),
                    action: "approval.recorded".to_owned(),
                    subject: "work/acme/shop production".to_owned(),
                    detail: format!("{{\"n\":{seq}}}"),
                    cause: "delivery 1".to_owned(),
                    trace: TraceId(uuid::Uuid::nil()),
                    opens: false,
                    intent: None,
                    previous: previous.clone(),
                    hash: Vec::new(),
                };
                row.hash = row::hash(&row).to_vec();
                previous.clone_from(&row.hash);
                row
            })
            .collect()
    }

    fn rechain(rows: &mut [Row]) {
        let mut previous = vec![0; 32];
        for row in rows {
            row.previous.clone_from(&previous);
            row.hash = row::hash(row).to_vec();
            previous.clone_from(&row.hash);
        }
    }

    /// Signs the log at 5 and at 10, lets `tamper` have it, and verifies what is left.
    fn check(tamper: impl FnOnce(&mut Vec<Row>)) -> Vec<Finding> {
        let signer = Signer::generate().unwrap();
        let mut rows = log(12);
        let checkpoints: Vec<_> =
            [5, 10].map(|n: usize| signer.sign(rows[n - 1].seq, &rows[n - 1].hash, Timestamp::UNIX_EPOCH)).to_vec();
        tamper(&mut rows);
        let mut verifier = Verifier::new(checkpoints, &signer.public_key());
        rows.iter().for_each(|row| verifier.row(row));
        verifier.end(Timestamp::UNIX_EPOCH).findings
    }

    #[test]
    fn an_untouched_log_is_whole_up_to_its_newest_signed_head() {
        let signer = Signer::generate().unwrap();
        let rows = log(12);
        let checkpoints = [signer.sign(10, &rows[9].hash, Timestamp::UNIX_EPOCH)];
        let mut verifier = Verifier::new(checkpoints.to_vec(), &signer.public_key());
        rows.iter().for_each(|row| verifier.row(row));
        let report = verifier.end(Timestamp::UNIX_EPOCH);
        assert!(report.is_whole());
        assert_eq!((report.entries, report.vouched), (12, 10));
    }

    #[test]
    fn every_way_to_tamper_is_found() {
        assert_eq!(check(|rows| rows[3].actor = "work/mallory (9)".to_owned()), [Finding::Changed { seq: 4 }]);
        assert_eq!(check(|rows| drop(rows.remove(3))), [Finding::Missing { seq: 4 }]);
        assert!(check(|rows| rows.swap(3, 4)).contains(&Finding::Missing { seq: 4 }), "reordered");
        assert_eq!(check(|rows| rows.truncate(7)), [Finding::Cut { size: 7, signed: 10 }]);
        assert_eq!(check(Vec::clear), [Finding::Cut { size: 0, signed: 10 }]);
        let rewritten = check(|rows| {
            rows[3].actor = "work/mallory (9)".to_owned();
            rechain(rows);
        });
        assert_eq!(rewritten, [Finding::Rewritten { signed: 5 }, Finding::Rewritten { signed: 10 }]);
        let newest = check(|rows| {
            rows[9].detail = "{}".to_owned();
            rechain(rows);
        });
        assert_eq!(newest, [Finding::Rewritten { signed: 10 }]);
    }

    #[test]
    fn entries_after_the_newest_signed_head_are_only_as_safe_as_the_database() {
        let tail = check(|rows| {
            rows[11].detail = "{}".to_owned();
            rechain(rows);
        });
        assert_eq!(tail, [], "documented: 11 and 12 are not vouched for yet");
    }

    /// What is said of a log of so many entries, looked at so many seconds after it was written, whose head was signed at
    /// `signed`.
    fn unvouched(count: i64, seconds: i64, signed: &[usize]) -> Vec<Finding> {
        let signer = Signer::generate().unwrap();
        let rows = log(count);
        let heads = signed.iter().map(|n| signer.sign(rows[n - 1].seq, &rows[n - 1].hash, Timestamp::UNIX_EPOCH));
        let mut verifier = Verifier::new(heads.collect(), &signer.public_key());
        rows.iter().for_each(|row| verifier.row(row));
        verifier.end(Timestamp::from_second(seconds).unwrap()).findings
    }

    #[test]
    fn a_log_is_not_whole_for_want_of_signed_heads() {
        let since = |micro| Timestamp::from_microsecond(micro).unwrap();
        assert_eq!(unvouched(3, 60, &[]), [], "it is young: its first head is not due, or is being signed");
        assert_eq!(unvouched(3, 122, &[]), [Finding::Unvouched { after: 0, entries: 3, since: since(1) }]);
        assert_eq!(unvouched(2_001, 1, &[]), [Finding::Unvouched { after: 0, entries: 2_001, since: since(1) }]);
        assert_eq!(unvouched(3, 100_000, &[3]), [], "a quiet log is vouched for to its end");
        let cut = unvouched(3, 122, &[2]);
        assert_eq!(cut, [Finding::Unvouched { after: 2, entries: 1, since: since(3) }], "the newest heads are gone");
        assert_eq!(unvouched(2_001, 1, &[1_000]), [], "a busy log is a thousand entries ahead of its heads");
    }

    #[test]
    fn a_checkpoint_of_another_key_vouches_for_nothing() {
        let rows = log(3);
        let forged = [Signer::generate().unwrap().sign(3, &rows[2].hash, Timestamp::UNIX_EPOCH)];
        let mut verifier = Verifier::new(forged.to_vec(), &Signer::generate().unwrap().public_key());
        rows.iter().for_each(|row| verifier.row(row));
        let report = verifier.end(Timestamp::UNIX_EPOCH);
        assert_eq!(report.findings, [Finding::BadSignature { signed: 3 }]);
        assert_eq!(report.vouched, 0);
    }
}
