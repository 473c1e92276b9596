//! What of a preview is on which page: everything is on one of them, in order, and none is larger than a browser likes.
//!
//! An object that is larger than a page goes on on the next one. What is searched for is found among all of them.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::manifest::Hunk;
use crate::preview::{EnvironmentRow, ObjectChange, Page, PolicyRemark, PolicyWaiver, RowChange};

/// Bytes of text on a page, as they are sent; with the markup around them a page stays below 2 MB.
const ROOM: usize = 700 * 1024;
/// Objects begun on a page.
const OBJECTS: usize = 400;
/// Markup around a line, counted with it.
const AROUND_LINE: usize = 60;
/// Markup and facts around an object.
const AROUND_OBJECT: usize = 600;
/// Markup and facts of an environment.
const AROUND_ENVIRONMENT: usize = 2_500;
/// A row of the table of environments.
const ROW: usize = 700;

/// Some lines of a hunk.
pub(super) type Lines<'p> = Vec<(&'p Hunk, Range<usize>)>;

/// Something shown in one place.
#[derive(Debug)]
pub(super) enum Piece<'p> {
    /// Rows of the table of environments.
    Table(Range<usize>),
    /// An environment begins: its facts.
    Environment(usize),
    /// An environment goes on from the page before.
    Continued(usize),
    /// A list of an environment: its title, and some of its items.
    List(&'static str, Vec<String>),
    /// Its own rules.
    Rules(Lines<'p>),
    /// An object begins, with the API server's answer and its first lines.
    Object(&'p ObjectChange, Option<&'static str>, Lines<'p>),
    /// It goes on.
    More(&'p ObjectChange, Lines<'p>),
}

/// A preview in pages.
#[derive(Debug, Default)]
pub(super) struct Pages<'p> {
    /// What is on each; at least one.
    pub(super) pages: Vec<Vec<Piece<'p>>>,
    /// How many objects are on them.
    pub(super) objects: usize,
    /// The page that each environment begins on, by its place.
    begins: BTreeMap<usize, usize>,
    room: usize,
    begun: usize,
    environment: Option<usize>,
}

impl<'p> Pages<'p> {
    /// Everything, or the objects that are found: whose environment, kind, group, namespace, name and file hold every word.
    pub(super) fn of(page: &'p Page, find: &str) -> Self {
        let words: Vec<String> = find.split_whitespace().map(str::to_lowercase).collect();
        let mut pages = Self { pages: vec![Vec::new()], room: ROOM, ..Self::default() };
        let rows = page.environments.len();
        if words.is_empty() {
            let mut from = 0;
            while from < rows {
                let to = rows.min(from + ROOM / ROW / 2);
                pages.put(ROW * (to - from), Piece::Table(from..to));
                from = to;
            }
        }
        for (place, row) in page.environments.iter().enumerate() {
            pages.environment(place, row, &words);
        }
        pages
    }

    /// The page an environment begins on.
    pub(super) fn page_of(&self, environment: usize) -> Option<usize> {
        self.begins.get(&environment).copied()
    }

    fn environment(&mut self, place: usize, row: &'p EnvironmentRow, words: &[String]) {
        let found: Vec<&ObjectChange> =
            row.named().iter().filter(|one| words.is_empty() || is_found(row, one, words)).collect();
        if !words.is_empty() && found.is_empty() {
            return;
        }
        self.environment = None;
        self.put(AROUND_ENVIRONMENT, Piece::Environment(place));
        self.begins.insert(place, self.pages.len() - 1);
        self.environment = Some(place);
        if words.is_empty() {
            if let RowChange::Failed { errors, .. } = &row.change {
                self.list("It cannot be computed", errors.clone());
            }
            let left = row.left_out.iter().map(|left| format!("{} (hook of {})", left.key, left.acts));
            self.list("Left out", left.collect());
            let waivers = row.waivers.iter().map(PolicyWaiver::line);
            self.list("Policies", row.policies.iter().map(PolicyRemark::line).chain(waivers).collect());
            // What has to be said of single objects, beside their lines.
            let remarks = row.remarks(str::to_owned, str::to_owned, ToString::to_string);
            self.list("In the cluster", remarks.into_iter().map(|(_, remark)| remark).collect());
            if let RowChange::Change { rules, .. } = &row.change {
                self.lines(rules, 0, |lines, _| Piece::Rules(lines));
            }
        }
        for one in found {
            self.object(one, row.answer_to(one));
        }
        self.environment = None;
    }

    fn list(&mut self, title: &'static str, items: Vec<String>) {
        let mut some = Vec::new();
        let mut weight = 0;
        for item in items {
            let next = sent(&item) + AROUND_LINE;
            if weight + next > self.room.max(ROOM / 4) && !some.is_empty() {
                self.put(weight, Piece::List(title, std::mem::take(&mut some)));
                weight = 0;
            }
            weight += next;
            some.push(item);
        }
        if !some.is_empty() {
            self.put(weight, Piece::List(title, some));
        }
    }

    fn object(&mut self, one: &'p ObjectChange, answer: Option<&'static str>) {
        self.objects += 1;
        self.begun += 1;
        if self.begun > OBJECTS {
            self.turn();
            self.begun = 1;
        }
        let facts: usize = one.diff.notable.iter().map(|fact| sent(&fact.sentence()) + AROUND_LINE).sum();
        let around = AROUND_OBJECT + facts;
        match &one.diff.body {
            crate::manifest::Body::Hunks(hunks) => self.lines(hunks, around, |lines, begins| match begins {
                true => Piece::Object(one, answer, lines),
                false => Piece::More(one, lines),
            }),
            crate::manifest::Body::TooLarge(paths) => {
                let paths: usize = paths.iter().map(|path| sent(path) + AROUND_LINE).sum();
                self.put(around + paths, Piece::Object(one, answer, Vec::new()));
            }
            crate::manifest::Body::Name => self.put(around, Piece::Object(one, answer, Vec::new())),
        }
    }

    /// Puts hunks where there is room for them: on this page when they are few, else over as many as they need.
    fn lines(&mut self, hunks: &'p [Hunk], around: usize, piece: impl Fn(Lines<'p>, bool) -> Piece<'p>) {
        if hunks.is_empty() && around == 0 {
            return;
        }
        let all: usize =
            hunks.iter().map(|hunk| sent(&hunk.path) + hunk.lines.iter().map(|text| line(text)).sum::<usize>()).sum();
        if around + all > self.room && around + all <= ROOM {
            self.turn();
        }
        let (mut some, mut weight, mut begins): (Lines<'p>, usize, bool) = (Vec::new(), around, true);
        for hunk in hunks {
            let (mut from, path) = (0, sent(&hunk.path) + AROUND_LINE);
            weight += path;
            for (at, text) in hunk.lines.iter().enumerate() {
                if weight + line(text) > self.room && (weight > around + path || self.room < ROOM) {
                    if at > from {
                        some.push((hunk, from..at));
                    }
                    if !some.is_empty() {
                        self.put(weight, piece(std::mem::take(&mut some), begins));
                        begins = false;
                    }
                    self.turn();
                    (from, weight) = (at, if begins { around } else { AROUND_OBJECT } + path);
                }
                weight += line(text);
            }
            some.push((hunk, from..hunk.lines.len()));
        }
        if begins || !some.is_empty() {
            self.put(weight, piece(some, begins));
        }
    }

    fn put(&mut self, weight: usize, piece: Piece<'p>) {
        if weight > self.room && self.room < ROOM {
            self.turn();
        }
        self.room = self.room.saturating_sub(weight);
        if let Some(page) = self.pages.last_mut() {
            page.push(piece);
        }
    }

    fn turn(&mut self) {
        self.pages.push(self.environment.map(Piece::Continued).into_iter().collect());
        self.room = ROOM;
        self.begun = 0;
    }
}

fn is_found(row: &EnvironmentRow, one: &ObjectChange, words: &[String]) -> bool {
    let key = &one.diff.key;
    let namespace = key.namespace.as_deref().unwrap_or_default();
    let file = one.diff.file.as_deref().unwrap_or_default();
    let text = format!("{} {} {} {namespace}/{} {file}", row.name, key.kind, key.group, key.name).to_lowercase();
    words.iter().all(|word| text.contains(word.as_str()))
}

fn line(text: &str) -> usize {
    sent(text) + AROUND_LINE
}

/// Bytes of a text as it is sent.
fn sent(text: &str) -> usize {
    text.bytes().map(|byte| if matches!(byte, b'&' | b'<' | b'>' | b'"' | b'\'') { 6 } else { 1 }).sum()
}
