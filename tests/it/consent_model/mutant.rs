//! The driver with one thing left out: each has to be noticed.

macro_rules! mutants {
    ($($name:ident,)*) => {
        /// What is left out.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub(super) enum Mutant {
            Nothing,
            $($name,)*
        }

        pub(super) const MUTANTS: &[Mutant] = &[$(Mutant::$name,)*];
    };
}

mutants! {
    // What was shown, and what was meant.
    NewestIsMeant,
    LostCommentsWereNeverSeen,
    AnyChangeCounts,
    AnyBranchCounts,
    WholeSetsAreNotBound,
    NumbersAreNotSaid,
    AnyNumberWillDo,
    // What voids.
    VoidsRevive,
    EditedStands,
    DeletedStands,
    DismissedStands,
    DismissalsAreUndone,
    RevokedStands,
    ObjectionsAreIgnored,
    AlteredStands,
    PushedStands,
    ApprovalsCountTwice,
    // Whose approval counts.
    ContributorsCount,
    PushersCount,
    AuthorsCount,
    WhatIsReachedOverIsNobodys,
    WhatAPullMergedInIsNobodys,
    WhoeverTookItOffIsNobody,
    OnlyTheTipIsSomebodys,
    UnknownPushersAreNobody,
    EveryAccountIsSomebody,
    BotsCount,
    MembershipIsRemembered,
    UnreadIsMember,
    SuspendedCounts,
    EveryWayCounts,
    // Which rules ask.
    TheTipsRulesJudge,
    RulesChangeLikeObjects,
    OneApprovalIsEnough,
    SecretsAreNothing,
    PathsAskNobody,
    NobodysFilesAreSomebodys,
    WhatIsTakenOffTheBranchHasNoFiles,
    LimitsAreNone,
    FloorsAreForgotten,
    ExceptionsPassFloors,
    ReasonsAreNotNeeded,
    FirstSetsHaveNoNeighbours,
    FirstSetsHaveNoOwners,
    // What policies deny.
    DenialsAreForgotten,
    WaiversAreConsent,
    ConsentWaives,
    FindingsAreAllAlike,
    TextsAreAllAlike,
    ExceptionsPassDenials,
    // Where a sync goes.
    TheTipIsTaken,
    TheHoldMovesAlong,
    AfterIsNotAwaited,
    StaleJudgementsStart,
}
