//! What the repository has in it, and what the environments make of it.

/// The environments: `production` in two namespaces, and `staging`.
pub(super) const ENVIRONMENTS: [u8; 3] = [0, 1, 2];
pub(super) const STAGING: u8 = 2;

/// The name of an environment: the first two share theirs.
pub(super) fn name(environment: u8) -> u8 {
    u8::from(environment == STAGING)
}

/// The whole content of the repository. 0 is an absent object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Tree {
    pub(super) x: u8,
    pub(super) y: u8,
    pub(super) s: u8,
    pub(super) rules: u8,
    pub(super) target: u8,
    pub(super) broken: bool,
}

/// What an environment renders to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Set {
    pub(super) environment: u8,
    pub(super) a: u8,
    pub(super) b: u8,
    pub(super) rules: u8,
}

/// The rules of staging: nobody is asked.
pub(super) const FREE: u8 = 2;

pub(super) fn set_of(environment: u8, tree: Tree) -> Option<Set> {
    if tree.broken || (environment != STAGING && environment != tree.target) {
        return None;
    }
    Some(if environment == STAGING {
        Set { environment, a: tree.s, b: 0, rules: FREE }
    } else {
        // The second object has something of `s` in it too, so that a move of the base can alter a change.
        let b = if tree.y == 0 { 0 } else { tree.y + 4 * tree.s };
        Set { environment, a: tree.x, b, rules: tree.rules }
    })
}

/// Git's three-way merge, file by file.
pub(super) fn merge(base: Tree, ours: Tree, theirs: Tree) -> Option<Tree> {
    fn one<T: PartialEq + Copy>(base: T, ours: T, theirs: T) -> Option<T> {
        match (ours == base, theirs == base) {
            (true, _) => Some(theirs),
            (_, true) => Some(ours),
            _ if ours == theirs => Some(ours),
            _ => None,
        }
    }
    Some(Tree {
        x: one(base.x, ours.x, theirs.x)?,
        y: one(base.y, ours.y, theirs.y)?,
        s: one(base.s, ours.s, theirs.s)?,
        rules: one(base.rules, ours.rules, theirs.rules)?,
        target: one(base.target, ours.target, theirs.target)?,
        broken: one(base.broken, ours.broken, theirs.broken)?,
    })
}

/// The files that differ between two trees, as bits: those of X, of Y, of S, and what no render reads.
pub(super) fn files(old: Tree, new: Tree) -> u8 {
    let other = (old.rules, old.target, old.broken) != (new.rules, new.target, new.broken);
    (u8::from(old.x != new.x) * FILE_X)
        | (u8::from(old.y != new.y) * FILE_Y)
        | (u8::from(old.s != new.s) * FILE_S)
        | (u8::from(other) * 8)
}

pub(super) const FILE_X: u8 = 1;
pub(super) const FILE_Y: u8 = 2;
/// Production reads it too, and no rule has a path for it.
pub(super) const FILE_S: u8 = 4;

/// How many objects a change removes.
pub(super) fn deletions(old: Option<Set>, new: Set) -> u8 {
    old.map_or(0, |old| u8::from(old.a > 0 && new.a == 0) + u8::from(old.b > 0 && new.b == 0))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Edit {
    X(u8),
    Y(u8),
    S(u8),
    Rules(u8),
    Target(u8),
    /// X and Y at once.
    Two(u8, u8),
    /// X and the rules at once.
    Both(u8, u8),
    /// The namespace and the rules at once.
    Move(u8, u8),
    Break,
    Mend,
    /// What the branch had one commit before.
    Revert,
    Nothing,
}

impl Edit {
    pub(super) fn of(self, tree: Tree, before: Option<Tree>) -> Tree {
        match self {
            Self::X(x) => Tree { x, ..tree },
            Self::Y(y) => Tree { y, ..tree },
            Self::S(s) => Tree { s, ..tree },
            Self::Rules(rules) => Tree { rules, ..tree },
            Self::Target(target) => Tree { target, ..tree },
            Self::Two(x, y) => Tree { x, y, ..tree },
            Self::Both(x, rules) => Tree { x, rules, ..tree },
            Self::Move(target, rules) => Tree { target, rules, ..tree },
            Self::Break => Tree { broken: true, ..tree },
            Self::Mend => Tree { broken: false, ..tree },
            Self::Revert => before.unwrap_or(tree),
            Self::Nothing => tree,
        }
    }
}
