-- The first schema. Digests are 32 raw bytes; times are the database's own unless a column says "forge".
-- Roles: the owner runs migrations; `bascule_app` (granted at the end) is what a running server is.


-- What version of the software last migrated; `bascule serve` refuses another.
CREATE TABLE installation (
    only_row    boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    id          uuid NOT NULL DEFAULT gen_random_uuid(),
    key_check   bytea,              -- HMAC of a constant under the server's key: a lost or swapped key is noticed
    created_at  timestamptz NOT NULL DEFAULT now()
);
INSERT INTO installation DEFAULT VALUES;

-- ── forge facts ────────────────────────────────────────────────────────────────────────────────────────────────────

CREATE TABLE repository (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    forge           text NOT NULL,
    forge_id        bigint NOT NULL,
    full_name       text NOT NULL,
    default_branch  text NOT NULL,
    -- active; recreated: its name is another's by repository_pin, refused until an operator accepts it; gone: the forge says 404
    state           text NOT NULL DEFAULT 'active' CONSTRAINT repository_state CHECK (state IN ('active', 'recreated', 'gone')),
    -- rises with every stored fact about the repository; the gate fails when it rose since it looked (rule 13)
    fact_version    bigint NOT NULL DEFAULT 0,
    closed_read_to  timestamptz,                 -- forge time up to which its list of closed pull requests was read
    comments_read_to timestamptz,                -- the same of its list of comments
    -- a reading of that list that is not at its end: the newest it began with, and the page (newest first) to go on at
    closed_reading_to   timestamptz,
    closed_reading_page int,
    CONSTRAINT repository_closed_reading CHECK ((closed_reading_to IS NULL) = (closed_reading_page IS NULL)),
    CONSTRAINT repository_forge_id UNIQUE (forge, forge_id)
);
CREATE INDEX repository_name ON repository (forge, full_name);

-- Whose a granted name is: the repository that was first used under it, until an operator says another. Never removed: a
-- name stays its first holder's while that one is called something else, or is gone.
CREATE TABLE repository_pin (
    forge      text NOT NULL,
    full_name  text NOT NULL,
    forge_id   bigint NOT NULL,
    pinned_at  timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT repository_pin_once PRIMARY KEY (forge, full_name)
);

CREATE TABLE delivery (
    id           uuid PRIMARY KEY,
    forge        text NOT NULL,
    delivery_id  text NOT NULL,
    event        text NOT NULL,
    body         bytea NOT NULL,
    body_hash    bytea NOT NULL,
    trace        uuid NOT NULL,
    state        text NOT NULL DEFAULT 'stored'
                 CONSTRAINT delivery_state CHECK (state IN ('stored', 'done', 'ignored', 'quarantined')),
    reason       text,
    repositories jsonb NOT NULL DEFAULT '[]',    -- the forge's numbers of those it is about: who may read them may see it
    received_at  timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT delivery_once UNIQUE (forge, delivery_id)
);
CREATE INDEX delivery_recent ON delivery (received_at DESC, id);
CREATE INDEX delivery_trace ON delivery (trace);
-- The same id with another body: kept as evidence, never acted on.
CREATE TABLE delivery_conflict (
    id           uuid PRIMARY KEY,
    forge        text NOT NULL,
    delivery_id  text NOT NULL,
    body_hash    bytea NOT NULL,
    received_at  timestamptz NOT NULL DEFAULT now()
);

-- How far a forge's own log of its deliveries was read: an App's, or that of the webhook of a repository. Stays.
CREATE TABLE delivery_log (
    forge       text NOT NULL,
    repository  bigint NOT NULL,                 -- the forge's number; 0: the App's own log
    hook        bigint,                          -- the forge's number of our webhook there; null: to be looked for
    read_to     timestamptz,                     -- the newest attempt that was read, by the forge's clock; null: there was none
    newest      timestamptz,                     -- the same of a log that is being read, from its newest end on
    next_page   text,                            -- where that goes on, in the forge's words
    refused     boolean NOT NULL DEFAULT false,  -- it is not shown to us, which was said
    rests_until timestamptz,                     -- not looked at before
    CONSTRAINT delivery_log_of PRIMARY KEY (forge, repository)
);
-- A delivery that failed and that we do not have. Asked for once; goes after a month, when the forge's log has long forgotten
-- it.
CREATE TABLE redelivery (
    forge       text NOT NULL,
    delivery_id text NOT NULL,                   -- the forge's own id of it, which a redelivery keeps
    repository  bigint NOT NULL,                 -- of the log it is in, as in delivery_log
    attempt     bigint NOT NULL,                 -- the forge's number of the attempt that is to be repeated
    found_at    timestamptz NOT NULL DEFAULT now(),
    asked_at    timestamptz,                     -- committed with the intent: whatever comes of it, it is not asked for again
    CONSTRAINT redelivery_once PRIMARY KEY (forge, delivery_id)
);

CREATE TABLE pull (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    repository_id   bigint NOT NULL REFERENCES repository,
    number          bigint NOT NULL,
    title           text NOT NULL,
    author          jsonb,                       -- ids::Account; null: the account is deleted
    state           text NOT NULL CONSTRAINT pull_state CHECK (state IN ('open', 'merged', 'closed')),
    base_branch     text NOT NULL,
    base_sha        text NOT NULL,               -- tip of the base branch when last read
    head_sha        text NOT NULL,
    head_branch     text NOT NULL,
    head_owner      jsonb,                       -- ids::Account: whose repository the head is in
    from_fork       boolean NOT NULL,
    merge_base      text,                        -- as the forge last computed it
    touched_at      timestamptz NOT NULL,        -- forge time of its last change
    merge_commit    text,                        -- last commit of the merge on the base branch
    merged_by       jsonb,
    comment_id      bigint,                      -- our one comment
    comment_hash    bytea,                      -- of its body as last written; a byte longer while that says, or is about to say, how far a preview is
    status_hash     bytea,                      -- of both statuses as last written
    fact_hash       bytea,                      -- of what the sweep compares; equal means quiet
    reviews_read_at timestamptz,                -- when a sweep last asked whether the reviews that count are still there
    updated_at      timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT pull_number UNIQUE (repository_id, number)
);

-- Commits of branches of which a forge was asked whether they end a pull request that nothing else tells of, so that it is
-- not asked at every look: see db::pulls::asked_about.
CREATE TABLE commit_asked (
    repository_id  bigint NOT NULL REFERENCES repository,
    branch         text NOT NULL,
    commit_sha     text NOT NULL,
    merges         bigint NOT NULL,              -- into the branch that were known when it was asked last
    first_asked    timestamptz NOT NULL,
    asked_at       timestamptz NOT NULL,
    PRIMARY KEY (repository_id, branch, commit_sha)
);

-- Branch tips as the sweep saw them last. Gone when a sweep does not see the branch any more.
CREATE TABLE branch_tip (
    repository_id  bigint NOT NULL REFERENCES repository,
    branch         text NOT NULL,
    tip            text NOT NULL,
    is_followed    boolean NOT NULL,             -- whether it was looked at for what is deployed from it
    PRIMARY KEY (repository_id, branch)
);

-- Who pushed which head: from deliveries, stored with the delivery, and, where one was lost, from the forge's own lists, stored
-- by the job that asked, since these reach some days back only. Never removed.
-- Keyed by the forge's own number: the door stores it before it knows whether the repository is one of ours.
CREATE TABLE push (
    forge          text NOT NULL,
    forge_id       bigint NOT NULL,
    branch         text NOT NULL,
    after_sha      text NOT NULL,
    before_sha     text,                         -- null: it made the branch; told by a list: or that does not say
    pusher         jsonb,                        -- ids::Account; null: nobody known
    told_by        text NOT NULL CONSTRAINT push_told_by CHECK (told_by IN ('delivery', 'list')),
    seen_at        timestamptz NOT NULL DEFAULT now()
);
-- A head may be pushed again by somebody else, and both pushed it: whichever is told first takes nothing from the other.
CREATE UNIQUE INDEX push_once ON push
    (forge, forge_id, branch, after_sha, coalesce(before_sha, ''), coalesce(pusher->>'id', ''), told_by);

-- Comments (also texts of reviews; where the forge shows them as no comment, by the review's number, negative) that were edited or deleted, from deliveries, stored with the delivery: within a
-- comment's first second its times do not tell. And edited ones that a sweep found, which then are no news. They consent to nothing and command nothing any more. Never removed.
CREATE TABLE comment_edit (
    forge       text NOT NULL,
    forge_id    bigint NOT NULL,
    comment_id  bigint NOT NULL,
    seen_at     timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT comment_edit_once PRIMARY KEY (forge, forge_id, comment_id)
);

-- Which account we are on each forge, as a worker asked it last: a delivery of what we wrote ourselves is no news.
CREATE TABLE own_account (
    forge       text PRIMARY KEY,
    account_id  bigint NOT NULL
);
-- What each comment of ours says, as the forge told when we wrote it, or as a sweep found it: a hash. When a sweep finds
-- another text, somebody else's hand was on it. Never removed.
CREATE TABLE own_comment (
    forge       text NOT NULL,
    forge_id    bigint NOT NULL,
    comment_id  bigint NOT NULL,
    said        bytea NOT NULL,
    CONSTRAINT own_comment_once PRIMARY KEY (forge, forge_id, comment_id)
);

-- ── sets ───────────────────────────────────────────────────────────────────────────────────────────────────────────

-- One object's canonical JSON, sealed (AES-256-GCM) under a key derived from the server's.
CREATE TABLE object_content (
    hash    bytea PRIMARY KEY,
    sealed  bytea NOT NULL
);
CREATE TABLE rendered_set (
    digest      bytea PRIMARY KEY,
    target      jsonb NOT NULL,                  -- ids::Target
    -- [[SetKey, hex hash], …] sorted; objects only of this set
    hashes      jsonb NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now()
);
-- What an environment's entry says, by its hash in a set: the rules in force are those of the set at hand.
CREATE TABLE environment_entry (
    hash   bytea PRIMARY KEY,
    block  jsonb NOT NULL                        -- policy::rules::Environment
);
-- What an environment's block and path give, by content: a second look at the same content renders nothing. Goes after 30
-- days, with sets that nothing shown, held or deployed names, and the objects only they had.
CREATE TABLE render_cache (
    input_hash  bytea PRIMARY KEY,              -- renderer version, block, and the ids of every file it may read
    set_digest  bytea REFERENCES rendered_set,
    error       text,                            -- set when it does not render; exactly one of the two
    reads       jsonb NOT NULL,                  -- files read
    kinds       jsonb NOT NULL,                  -- kinds of its objects, and where the cluster told that they live
    renderer    text NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT render_cache_one CHECK ((set_digest IS NULL) <> (error IS NULL))
);

-- What a version of a registry's chart meant when a repository first used it: so it stays for this repository, wherever the
-- registry's tag points by then. Written by whoever reads the repository's rules first; goes with the repository.
CREATE TABLE chart_binding (
    repository_id   bigint NOT NULL REFERENCES repository,
    registry        text NOT NULL,               -- [registry.NAME]
    chart           text NOT NULL,
    asked           text NOT NULL,               -- the version as the block has it, with its digest where it has one
    version         text NOT NULL,
    digest          text NOT NULL,
    bound_at        timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (repository_id, registry, chart, asked)
);

CREATE TABLE environment (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    repository_id   bigint NOT NULL REFERENCES repository,
    name            text NOT NULL,
    cluster         text NOT NULL,
    namespace       text NOT NULL,
    state           text NOT NULL DEFAULT 'active' CONSTRAINT environment_state CHECK (state IN ('proposed', 'active', 'orphaned', 'forgotten')),
    stage           text,
    branch          text NOT NULL,
    -- rule 8: the newest commit a sync was started for, and its set
    position_commit text,
    position_set    bytea REFERENCES rendered_set,
    position_at     timestamptz,
    -- the newest commit seen healthy, with its set: what `after:` asks
    healthy_commit  text,
    healthy_set     bytea REFERENCES rendered_set,
    next_number     bigint NOT NULL DEFAULT 1,
    first_number    bigint NOT NULL DEFAULT 1,   -- the first deployment since it was last forgotten: none before it is gone back to
    block           jsonb,                       -- policy::rules::Environment of the default branch's tip
    CONSTRAINT environment_target UNIQUE (repository_id, name, cluster, namespace)
);

-- What the floors' policies say of the content that an environment was brought to last. Written by `judge_deployed`; goes when
-- no floor has policies there any more, or nothing is deployed.
CREATE TABLE deployed_verdict (
    environment_id  bigint PRIMARY KEY REFERENCES environment,
    set_digest      bytea NOT NULL,
    policies        bytea NOT NULL,              -- digest of what was asked
    remarks         jsonb NOT NULL,              -- preview::PolicyRemark, each
    judged_at       timestamptz NOT NULL
);

-- How `bascule/preview` is said of a commit where a forge has two ways: as a status or as a check run, always so, or branch
-- protection would ask for both. Written before the first word; goes a month after every pull request that had the commit was
-- merged.
CREATE TABLE check_run (
    repository_id  bigint NOT NULL REFERENCES repository,
    commit_sha     text NOT NULL,
    as_status      boolean NOT NULL,
    round          integer NOT NULL DEFAULT 0,   -- which run is wanted: a new one when somebody asks, or when other lines are marked
    number         bigint,                       -- the forge's number of it; null: to be looked for, and made if it is not there
    marks          bytea,                        -- hash of the lines it marks
    begun_at       timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT check_run_of PRIMARY KEY (repository_id, commit_sha)
);

-- A group of a merge queue that was answered. Goes with its branch, which a sweep finds gone.
CREATE TABLE merge_group (
    repository_id  bigint NOT NULL REFERENCES repository,
    branch         text NOT NULL,
    head_sha       text NOT NULL,
    status_hash    bytea NOT NULL,               -- of both statuses, as last written
    CONSTRAINT merge_group_of PRIMARY KEY (repository_id, branch)
);

CREATE TABLE preview (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    repository_id bigint NOT NULL REFERENCES repository,
    pull_number   bigint,                        -- the pull request, or the issue of ours a held change is shown in
    head_sha      text NOT NULL,
    base_sha      text NOT NULL,
    merge_tree    text,                          -- null: conflict, nothing to compute
    page          jsonb NOT NULL,                -- preview::Page, redacted: what /previews/{id} shows
    -- what was looked at: environment → change digest in hex, null for one it leaves as it is; absent: does not render
    looks         jsonb NOT NULL,
    shown_at      timestamptz,                   -- forge time of the comment write that first carried it
    trace         uuid NOT NULL,
    created_at    timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX preview_of ON preview (repository_id, pull_number, id DESC);
-- What was shown to people, and when by the forge's clock. Append-only; the end of showing is its own column.
CREATE TABLE shown_change (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    preview_id      bigint NOT NULL REFERENCES preview,
    environment_id  bigint NOT NULL REFERENCES environment,
    base_set        bytea,                      -- null: the empty set
    head_set        bytea NOT NULL REFERENCES rendered_set,
    change_digest   bytea NOT NULL,
    change          jsonb NOT NULL,              -- consent::Change
    head_sha        text NOT NULL,               -- the pull request's head, or the commit a held change ends in
    shown_as        text NOT NULL CONSTRAINT shown_as CHECK (shown_as IN ('pull', 'held')),
    deletions       bigint,                      -- the number an approval has to carry
    denials         jsonb NOT NULL,              -- consent::Denial, each: what policies deny and somebody may waive
    made            jsonb NOT NULL,              -- files the change comes from, and its size
    shown_at        timestamptz                  -- forge time of the comment write that first carried it; null: not yet posted
);
CREATE INDEX shown_of_environment ON shown_change (environment_id, change_digest);

-- ── consent ────────────────────────────────────────────────────────────────────────────────────────────────────────

CREATE TABLE approval (
    id              uuid PRIMARY KEY,
    repository_id   bigint NOT NULL REFERENCES repository,
    environment_id  bigint NOT NULL REFERENCES environment,
    pull_number     bigint NOT NULL,             -- the pull request or the issue of ours
    base_branch     text NOT NULL,
    reviewed_head   text NOT NULL,
    shown_as        text NOT NULL CONSTRAINT approval_shown_as CHECK (shown_as IN ('pull', 'held')),
    base_set        bytea,
    head_set        bytea NOT NULL,
    change_digest   bytea NOT NULL,
    preview_id      bigint NOT NULL REFERENCES preview,
    person          jsonb NOT NULL,              -- ids::Account
    source          text NOT NULL CONSTRAINT approval_source CHECK (source IN ('review', 'command')),
    source_id       bigint NOT NULL,             -- the review's or the comment's
    policy_digest   bytea NOT NULL,              -- of the rules in force when it was given
    deletions       bigint,                      -- the number named, if any
    reason          text,
    -- Of a waiver: the policy, the digest of its text, and that of what it denies. Such a row is no consent to the change.
    waives          text,
    waives_text     bytea,
    waives_said     bytea,
    given_at        timestamptz NOT NULL,        -- forge time
    recorded_at     timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT approval_waiver CHECK (
        (waives IS NULL AND waives_text IS NULL AND waives_said IS NULL)
        OR (waives IS NOT NULL AND waives_text IS NOT NULL AND waives_said IS NOT NULL AND reason IS NOT NULL)),
    CONSTRAINT approval_once UNIQUE (environment_id, source, source_id)
);
CREATE INDEX approval_of ON approval (repository_id, pull_number);
-- Once void, void for ever: there is no way to take a row from here.
CREATE TABLE approval_void (
    approval_id  uuid PRIMARY KEY REFERENCES approval,
    reason       text NOT NULL,
    at           timestamptz NOT NULL DEFAULT now()
);

-- A sync was started on it: it counts once.
CREATE TABLE approval_use (
    approval_id  uuid PRIMARY KEY REFERENCES approval,
    deployment_id uuid NOT NULL,
    -- Why it did not count, in words; NULL: it did. What else stood in the same pull request is used up with it, and an
    -- auditor must not take it for consent.
    why_not      text,
    at           timestamptz NOT NULL DEFAULT now()
);
-- A command that was carried out or answered: read again, it does nothing.
CREATE TABLE command_done (
    repository_id  bigint NOT NULL REFERENCES repository,
    comment_id     bigint NOT NULL,
    answer         text NOT NULL,
    at             timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT command_once PRIMARY KEY (repository_id, comment_id)
);

-- Commits of applications that a deployment says it deploys (the trailer `Deploys:`), ten at most, and what was told beside
-- them. Written when it starts; `tell_applications` brings it up to date.
CREATE TABLE deploys (
    deployment_id   uuid NOT NULL,
    place           integer NOT NULL,            -- among those of the deployment
    written         text NOT NULL,               -- `group/app`, or what could not be read, cut
    commit_sha      text,                        -- none: it could not be read
    told            text,                        -- the state that was set last
    trouble         text,                        -- why nothing is told
    CONSTRAINT deploys_once PRIMARY KEY (deployment_id, place)
);

-- Commits that an environment's position is at or went past, for thirty days; whoever waits for one asks (`bascule wait`).
-- Written with the position, and gone with time.
CREATE TABLE passed_commit (
    environment_id  bigint NOT NULL REFERENCES environment,
    commit_sha      text NOT NULL,
    at              timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT passed_commit_once PRIMARY KEY (environment_id, commit_sha)
);

CREATE TABLE hold (
    environment_id  bigint PRIMARY KEY REFERENCES environment,
    reason          text NOT NULL CONSTRAINT hold_reason CHECK (reason IN
                    ('uncovered', 'frozen', 'window', 'waiting', 'pinned', 'failed', 'conflict', 'over-cap', 'orphaned', 'cluster-away')),
    detail          text NOT NULL,               -- one sentence: what is missing and who can give it
    lifts           text NOT NULL,               -- the one command
    from_commit     text,                        -- newest covered commit
    to_commit       text,                        -- the commit whose set the held change ends in
    from_set        bytea,
    to_set          bytea,
    change_digest   bytea,
    shown_in        bigint,                      -- pull request or issue number
    place_seen      bytea,                       -- of the place it is shown in, as the sweep saw it last: a hash
    awaits          jsonb NOT NULL DEFAULT '[]', -- commits whose checks it waits for, and how they stood: db::holds::AwaitedAt
    thaws           boolean NOT NULL DEFAULT false, -- something covered waits, perhaps beside this, for a freeze to end
    wakes           timestamptz,                 -- when something covered may be synced by the clock alone; null once it was looked at again
    ahead           jsonb,                       -- where it would go if nothing were in its way: db::holds::Ahead
    since           timestamptz NOT NULL DEFAULT now()
);

-- That everything is deleted which an environment has that nobody follows: as one person asked, and another agreed within a
-- day. Goes when it was done, or when the environment is followed again.
CREATE TABLE destruction (
    environment_id  bigint PRIMARY KEY REFERENCES environment,
    becomes         text NOT NULL CONSTRAINT destruction_becomes CHECK (becomes IN ('destroy', 'forget')), -- of its objects: db::destructions::End
    objects         bigint NOT NULL,             -- how many they were shown
    reason          text NOT NULL,
    asked_by        jsonb NOT NULL,              -- ids::Account
    asked_at        timestamptz NOT NULL,        -- by the server's clock
    agreed_by       jsonb                        -- ids::Account; null: it waits for a second person
);

-- While one stands, nothing new is synced: what a sync would start is held. It ends by a person's word, or when its time is past.
CREATE TABLE frozen (
    id              uuid PRIMARY KEY,
    environment_id  bigint REFERENCES environment,  -- NULL: everything this server deploys
    by_whom         text NOT NULL,               -- as the log names them
    reason          text NOT NULL,               -- a person's words
    until           timestamptz,                 -- NULL: until somebody ends it
    began_at        timestamptz NOT NULL,
    ended_at        timestamptz,
    ended_by        text,
    CONSTRAINT frozen_ended CHECK ((ended_at IS NULL) = (ended_by IS NULL))
);
-- One of each, and one of everything: a later one takes its place.
CREATE UNIQUE INDEX frozen_stands ON frozen (coalesce(environment_id, 0)) WHERE ended_at IS NULL;

-- Somebody whom `may.emergency` names asked for what an environment waits for to pass: this very change, within four hours. Two
-- of them (accounts of one person are one) open the gate. Append-only.
CREATE TABLE emergency_request (
    id              uuid PRIMARY KEY,
    environment_id  bigint NOT NULL REFERENCES environment,
    from_set        bytea NOT NULL,              -- what ran
    to_commit       text NOT NULL,
    to_set          bytea NOT NULL,
    change_digest   bytea NOT NULL,
    person          jsonb NOT NULL,              -- ids::Account
    reason          text NOT NULL,               -- their words
    source          text NOT NULL,               -- the comment, or the API
    at              timestamptz NOT NULL         -- by the server's clock
);
CREATE INDEX emergency_request_of ON emergency_request (environment_id, at);
-- A deployment that an emergency let pass, and its review. Written with the deployment's start; never removed.
CREATE TABLE emergency (
    deployment_id   uuid PRIMARY KEY,
    environment_id  bigint NOT NULL REFERENCES environment,
    requests        jsonb NOT NULL,              -- ids of the requests, one of each person
    people          jsonb NOT NULL,              -- ids::Account, each, in the same order
    reasons         jsonb NOT NULL,              -- in the same order
    passed          jsonb NOT NULL,              -- what it passed over, in words
    began_at        timestamptz NOT NULL,
    issue           bigint,                      -- of ours; null: not told yet
    reminders       integer NOT NULL DEFAULT 0,
    reviewed_at     timestamptz,
    reviewed_by     text,                        -- as the log names them
    CONSTRAINT emergency_reviewed CHECK ((reviewed_at IS NULL) = (reviewed_by IS NULL))
);

-- ── sync ───────────────────────────────────────────────────────────────────────────────────────────────────────────

CREATE TABLE deployment (
    id              uuid PRIMARY KEY,
    environment_id  bigint NOT NULL REFERENCES environment,
    number          bigint NOT NULL,
    commit_sha      text NOT NULL,
    set_digest      bytea NOT NULL REFERENCES rendered_set,
    from_commit     text,
    from_set        bytea,
    change_digest   bytea NOT NULL,
    pulls           jsonb NOT NULL,              -- numbers of the pull requests whose changes it carries
    approvals       jsonb NOT NULL,              -- ids of the approvals it used up
    again_of        uuid REFERENCES deployment,  -- whose content it sends once more, because somebody asked
    state           text NOT NULL CONSTRAINT deployment_state CHECK (state IN
                    ('running', 'healthy', 'failed', 'conflict', 'superseded')),
    outcome         jsonb,                       -- sync::Outcome: counts, and the object it failed at and why; while it runs: of its sync
    trace           uuid NOT NULL,
    fence           bigint NOT NULL,
    started_at      timestamptz NOT NULL DEFAULT now(),
    applied_at      timestamptz,
    finished_at     timestamptz,
    CONSTRAINT deployment_number UNIQUE (environment_id, number)
);
CREATE UNIQUE INDEX deployment_one_running ON deployment (environment_id) WHERE state = 'running';

-- What the forge's own page of deployments was told of one, where it has such a page. Written before the first word; goes a
-- month after the deployment began, when another took its place or it failed, and nobody goes back to it any more.
CREATE TABLE told_deployment (
    deployment_id  uuid PRIMARY KEY REFERENCES deployment,
    number         bigint,                       -- the forge's; null: to be looked for, and made if it is not there
    saying         text,                         -- how it stands, as was to be said last
    said           text                          -- the same, as was said last
);

-- Since when an environment's newest deployment is known to be healthy, where another one waits for it to be for a while (`soak`).
-- Written when that one is judged; another deployment begins it anew.
CREATE TABLE soak (
    environment_id  bigint PRIMARY KEY REFERENCES environment,
    deployment_id   uuid NOT NULL REFERENCES deployment,
    since           timestamptz NOT NULL
);

-- A deployment whose sync ended well (its `outcome` is there, and it runs on), and of which it is asked whether it does well before it
-- counts as healthy (`verify`). Written when that begins and at each answer; goes when the deployment ends, and stays when another takes
-- its place.
CREATE TABLE verification (
    deployment_id   uuid PRIMARY KEY REFERENCES deployment,
    began_at        timestamptz NOT NULL,
    asked_at        timestamptz,                 -- last
    watched         jsonb NOT NULL               -- sync::verify::Watched of each query of the set's rules, in their order
);

-- A way back that somebody asked for, or that a failed sync asked for by itself: to the objects of a content that was healthy here. The
-- environment's next sync tries it before it writes anything. Stays; that it ended is its own columns.
CREATE TABLE rollback (
    id              uuid PRIMARY KEY,
    environment_id  bigint NOT NULL REFERENCES environment,
    back_to         uuid NOT NULL REFERENCES deployment,
    by_whom         text NOT NULL,               -- as the log names them
    reason          text,                        -- a person's words, or the failure it goes back for
    is_by_itself    boolean NOT NULL,            -- by `on_failure: rollback`
    place           bigint,                      -- the pull request, or the issue of ours, in which it was asked for
    comment_id      bigint,                      -- and the comment
    trace           uuid NOT NULL,
    asked_at        timestamptz NOT NULL,
    taken_away      uuid REFERENCES deployment,  -- what ran until then
    deployment_id   uuid REFERENCES deployment,  -- what it became
    refused         text,                        -- why nothing was done
    ended_at        timestamptz,
    CONSTRAINT rollback_ended CHECK ((ended_at IS NOT NULL) = (deployment_id IS NOT NULL OR refused IS NOT NULL)
        AND (deployment_id IS NULL OR refused IS NULL) AND (deployment_id IS NULL) = (taken_away IS NULL))
);
-- A later one takes the place of one that was not tried yet.
CREATE UNIQUE INDEX rollback_open ON rollback (environment_id) WHERE ended_at IS NULL;
CREATE UNIQUE INDEX rollback_became ON rollback (deployment_id);
CREATE INDEX rollback_asked_in ON rollback (environment_id, place) WHERE place IS NOT NULL;

-- While one stands, nothing is synced forward: the environment is kept at what a rollback put back. Stays; that it ended is its own
-- columns.
CREATE TABLE pin (
    id              uuid PRIMARY KEY,
    environment_id  bigint NOT NULL REFERENCES environment,
    rollback_id     uuid NOT NULL REFERENCES rollback,
    taken           jsonb NOT NULL,              -- consent::Taken: the states of objects that were taken away
    began_at        timestamptz NOT NULL,
    ended_at        timestamptz,
    ended_by        text,                        -- as the log names them: who said so, or `bascule`: a commit without what was taken away, or it was forgotten
    CONSTRAINT pin_ended CHECK ((ended_at IS NULL) = (ended_by IS NULL))
);
CREATE UNIQUE INDEX pin_stands ON pin (environment_id) WHERE ended_at IS NULL;

-- A pull request of ours that somebody asked for: what it is for has the same id in a table of its own. Written ahead with what asks for
-- it, and opened by a job, for which nothing waits. Stays: whoever asked for it is its author.
CREATE TABLE our_pull (
    id              uuid PRIMARY KEY,
    environment_id  bigint NOT NULL REFERENCES environment,
    by_whom         text NOT NULL,               -- as the log names them
    branch          text,                        -- of ours, and the commit that is its tip: known before it is pushed
    commit_sha      text,
    number          bigint,                      -- the pull request, once it is open, and as people write it
    shown_as        text,
    why_not         text,                        -- why there is none; while it is not ended, it is tried again
    ended_at        timestamptz,
    CONSTRAINT our_pull_planned CHECK ((branch IS NULL) = (commit_sha IS NULL)),
    CONSTRAINT our_pull_ended CHECK ((number IS NULL) = (shown_as IS NULL) AND (number IS NULL OR (ended_at IS NOT NULL AND why_not IS NULL))
        AND (ended_at IS NULL OR number IS NOT NULL OR why_not IS NOT NULL))
);
CREATE INDEX our_pull_as ON our_pull (number) WHERE number IS NOT NULL;
CREATE INDEX our_pull_from ON our_pull (branch) WHERE branch IS NOT NULL;
CREATE INDEX our_pull_of ON our_pull (environment_id);

-- One that takes out of the branch what a rollback took away.
CREATE TABLE revert (
    rollback_id     uuid PRIMARY KEY REFERENCES rollback,
    change          bytea NOT NULL,              -- what the rollback consented to: from the position's set to what was put back
    CONSTRAINT revert_is_ours FOREIGN KEY (rollback_id) REFERENCES our_pull (id)
);

-- One that writes into the branch what is in the cluster, of fields that drifted.
CREATE TABLE adoption (
    id              uuid PRIMARY KEY,
    kind            text,                        -- of the one object that is meant; null: everything that drifted
    name            text,
    place           bigint,                      -- the pull request, or the issue of ours, in which it was asked for
    comment_id      bigint,                      -- and the comment
    trace           uuid NOT NULL,
    asked_at        timestamptz NOT NULL,
    title           text,                        -- what its pull request says, known before its branch is pushed
    body            text,
    CONSTRAINT adoption_is_ours FOREIGN KEY (id) REFERENCES our_pull (id),
    CONSTRAINT adoption_of CHECK ((kind IS NULL) = (name IS NULL))
);
CREATE INDEX adoption_asked_in ON adoption (place) WHERE place IS NOT NULL;

CREATE TABLE inventory (
    cluster_uid     text NOT NULL,
    api_group       text NOT NULL,
    kind            text NOT NULL,
    namespace       text NOT NULL DEFAULT '',    -- '' for cluster-scoped objects
    name            text NOT NULL,
    environment_id  bigint NOT NULL REFERENCES environment,
    api_version     text NOT NULL,               -- as last sent
    uid             text,                        -- null: written ahead, not yet confirmed
    hash            bytea NOT NULL,             -- of the canonical JSON last sent
    resource_version text,
    live_hash       bytea,                      -- of our fields in the answer to that send
    mark            bytea,                      -- sync::drift::Mark of it when it was last found to be as we left it
    suspect         boolean NOT NULL DEFAULT false, -- a watch saw that it moved; sync_environment looks, and takes it back
    CONSTRAINT inventory_one_owner PRIMARY KEY (cluster_uid, api_group, kind, namespace, name)
);
CREATE INDEX inventory_of ON inventory (environment_id);
CREATE INDEX inventory_suspects ON inventory (environment_id) WHERE suspect;

-- An object of ours that is not in the cluster as we left it: paths and names, no value. Written by `sync_environment` when it has
-- looked. One that ended is kept for two hours, since whoever changes it again and again is known by it; all go with the object.
CREATE TABLE drift (
    id              bigint GENERATED ALWAYS AS IDENTITY,
    cluster_uid     text NOT NULL,
    api_group       text NOT NULL,
    kind            text NOT NULL,
    namespace       text NOT NULL,
    name            text NOT NULL,
    what            text NOT NULL CONSTRAINT drift_what CHECK (what IN ('changed', 'gone', 'replaced', 'owned', 'leaving')),
    fields          jsonb NOT NULL,              -- paths that an apply would change
    by_whom         jsonb NOT NULL,              -- field managers that hold them
    detail          text,
    mark            bytea,                       -- of what was seen; null: nothing was
    since           timestamptz NOT NULL,        -- by the server's clock, as the other times here
    heals           integer NOT NULL DEFAULT 0,  -- times that it was put right lately, or that this was tried
    healed_at       timestamptz,                 -- when that was last
    trouble         text,                        -- why it could not be put right then
    ended_at        timestamptz,
    CONSTRAINT drift_once PRIMARY KEY (cluster_uid, api_group, kind, namespace, name),
    CONSTRAINT drift_of_ours FOREIGN KEY (cluster_uid, api_group, kind, namespace, name) REFERENCES inventory ON DELETE CASCADE
);
CREATE UNIQUE INDEX drift_in_turn ON drift (id) WHERE ended_at IS NULL;

-- The issue of ours in which the drift of an environment is told, where its rules ask for that. Begun by whoever saw it drift, kept
-- by `tell_drift`; goes when the environment was as it was left for two hours, and the issue with it, closed.
CREATE TABLE drift_issue (
    environment_id  bigint PRIMARY KEY REFERENCES environment,
    issue           bigint,                      -- null: not opened yet
    told            text NOT NULL DEFAULT '',    -- digest of the drift that it tells of; empty: of none
    calm_since      timestamptz                  -- since when it tells of none
);

-- Which server watches a cluster. It does no harm when two do, since what a watch finds is a job, which one worker runs: this is so
-- that the cluster is asked once. Taken over when the holder stopped renewing it; gone when the holder stops.
CREATE TABLE cluster_watch (
    cluster      text PRIMARY KEY,               -- [cluster.NAME]
    holder       text NOT NULL,
    lease_until  timestamptz NOT NULL
);

-- Hooks that were run, once for each rendered set: written before the object is made, so that whoever takes over a sync
-- finds it again and makes no second one. Never removed.
CREATE TABLE hook_run (
    environment_id  bigint NOT NULL REFERENCES environment,
    set_digest      bytea NOT NULL,
    api_group       text NOT NULL,
    kind            text NOT NULL,
    namespace       text NOT NULL DEFAULT '',    -- '' for cluster-scoped objects
    name            text NOT NULL,
    api_version     text NOT NULL,               -- at which its object was made
    moment          text NOT NULL CONSTRAINT hook_run_moment CHECK (moment IN ('before', 'after')), -- some run at both
    deployment      uuid NOT NULL,               -- which ran it last
    attempt         integer NOT NULL DEFAULT 1,  -- a later deployment of the same set runs again what failed
    uid             text,                        -- of its object; null: not known to be made
    state           text NOT NULL DEFAULT 'running' CONSTRAINT hook_run_state CHECK (state IN ('running', 'succeeded', 'failed')),
    why             text,                        -- of one that failed
    PRIMARY KEY (environment_id, set_digest, api_group, kind, namespace, name, moment)
);

-- ── queue ──────────────────────────────────────────────────────────────────────────────────────────────────────────

-- Every claim takes the next number: of two holders of one job, the later has the higher.
CREATE SEQUENCE job_fence;
CREATE TABLE job (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind         text NOT NULL,
    key          text NOT NULL,                  -- at most one pending and one running per (kind, key)
    lane         text NOT NULL CONSTRAINT job_lane CHECK (lane IN ('sync', 'default', 'sweep')),
    share        text NOT NULL,                  -- whose share of a lane it takes: shares are served in turn
    payload      jsonb NOT NULL,                 -- ids only
    trace        uuid NOT NULL,
    state        text NOT NULL DEFAULT 'pending' CONSTRAINT job_state CHECK (state IN ('pending', 'running', 'failed')),
    attempt      integer NOT NULL DEFAULT 0,     -- claims that count: a snooze gives its own back
    waits        integer NOT NULL DEFAULT 0,     -- times in a row that something it depends on was away
    refused      boolean NOT NULL DEFAULT false, -- the last of them a refusal, which a person has to lift; the next run forgets it
    crashes      integer NOT NULL DEFAULT 0,     -- workers that died on it since it last came to an end of its own
    run_at       timestamptz NOT NULL DEFAULT now(),
    error        text,                           -- of the last try
    waits_for    text,                           -- the forge that has no room for it before run_at; the next run forgets it
    fence        bigint,
    holder       text,
    lease_until  timestamptz,
    created_at   timestamptz NOT NULL DEFAULT now(),
    ended_at     timestamptz,                    -- when it failed for good
    CONSTRAINT job_running CHECK ((state = 'running') = (lease_until IS NOT NULL AND fence IS NOT NULL AND holder IS NOT NULL)),
    CONSTRAINT job_failed CHECK ((state = 'failed') = (ended_at IS NOT NULL))
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 500);
CREATE UNIQUE INDEX job_one_pending ON job (kind, key) WHERE state = 'pending';
CREATE UNIQUE INDEX job_one_running ON job (kind, key) WHERE state = 'running';
CREATE UNIQUE INDEX job_one_failed ON job (kind, key) WHERE state = 'failed';
CREATE INDEX job_ready ON job (lane, share, run_at, id) WHERE state = 'pending';
CREATE INDEX job_lease ON job (lease_until) WHERE state = 'running';

-- What an account of ours asked of its forge lately, and what the forge said of its limits: all servers spend from one row,
-- which is changed by whoever read its newest version. Written before each call where a forge counts; never removed.
CREATE TABLE forge_budget (
    forge    text NOT NULL,
    account  text NOT NULL,                      -- where our App is installed; empty: our own account, or the App itself
    ledger   jsonb NOT NULL,                     -- db::budgets::Ledger
    version  bigint NOT NULL DEFAULT 0,
    CONSTRAINT forge_budget_once PRIMARY KEY (forge, account)
) WITH (fillfactor = 50);

-- ── proof ──────────────────────────────────────────────────────────────────────────────────────────────────────────

CREATE TABLE audit_entry (
    seq        bigint PRIMARY KEY,
    at         timestamptz NOT NULL,
    actor      text NOT NULL,                    -- "work/alice (3)", "bascule", "token ci", "config"
    action     text NOT NULL,
    subject    text NOT NULL,                    -- "work/acme/shop production", …
    detail     json NOT NULL,                    -- json, not jsonb: the hash covers its text as written
    cause      text NOT NULL,                    -- delivery, job, approval id …
    trace      uuid NOT NULL,
    opens      boolean NOT NULL,                 -- an intent: an effect outside the database is about to be tried
    intent     bigint REFERENCES audit_entry,    -- an outcome names the intent it closes
    previous   bytea NOT NULL,
    hash       bytea NOT NULL
);
CREATE INDEX audit_subject ON audit_entry (subject, seq);
CREATE INDEX audit_action ON audit_entry (action, seq);
CREATE UNIQUE INDEX audit_one_outcome ON audit_entry (intent) WHERE intent IS NOT NULL;
CREATE INDEX audit_intents ON audit_entry (split_part(cause, ' of delivery ', 1), seq) WHERE opens;
-- The head that every append locks; its row is the only thing of the log that is ever updated.
CREATE TABLE audit_head (
    only_row  boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    size      bigint NOT NULL,
    hash      bytea NOT NULL
);
INSERT INTO audit_head (size, hash) VALUES (0, decode(repeat('00', 32), 'hex'));

CREATE FUNCTION audit_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the audit log is append-only: % refused', TG_OP USING ERRCODE = 'insufficient_privilege';
END $$;
CREATE TRIGGER audit_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_entry
    FOR EACH STATEMENT EXECUTE FUNCTION audit_is_append_only();

-- The database was put back from a backup: a server found that the log is not the one whose head was signed last, or that a
-- cluster was written by a number that is not given yet, or an operator said so. While one is not confirmed nothing is pruned. Never removed.
CREATE TABLE restore (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    entries       bigint NOT NULL,               -- of the log, when it was found
    signed        bigint,                        -- of the head that the log does not have; null: an operator, or a cluster, said so
    fence         bigint,                        -- the highest number a cluster was written by and this database had yet to give
    noticed_at    timestamptz NOT NULL DEFAULT now(),
    confirmed_at  timestamptz
);
CREATE UNIQUE INDEX restore_one_open ON restore ((confirmed_at IS NULL)) WHERE confirmed_at IS NULL;

CREATE TABLE api_token (
    id          uuid PRIMARY KEY,
    name        text NOT NULL,
    hash        bytea NOT NULL,
    scopes      jsonb NOT NULL,                  -- subset of ["read", "operate", "audit"], or ["agent:CLUSTER"] alone
    created_at  timestamptz NOT NULL DEFAULT now(),
    expires_at  timestamptz NOT NULL,
    revoked_at  timestamptz,
    CONSTRAINT api_token_name UNIQUE (name),
    CONSTRAINT api_token_hash UNIQUE (hash)
);

-- A person who signed in through a forge: in a browser, where a cookie says who they are, or at a command line, where a
-- token does. Written at the sign-in, gone at its end. What it says is not here, and no token of the forge's is.
CREATE TABLE session (
    id          uuid PRIMARY KEY,
    hash        bytea NOT NULL,                  -- SHA-256 of the cookie's or the token's random bytes
    way         text NOT NULL CONSTRAINT session_way CHECK (way IN ('browser', 'command')),
    person      jsonb NOT NULL,                  -- forge, number, login at that time
    created_at  timestamptz NOT NULL,            -- all times by the server's clock
    seen_at     timestamptz NOT NULL,            -- to the minute: one that is not used for long ends
    expires_at  timestamptz NOT NULL,
    CONSTRAINT session_hash UNIQUE (hash)
);
-- A sign-in that was brought to its end; until it would have ended by itself, so that it cannot be used twice.
CREATE TABLE sign_in_used (
    state       bytea PRIMARY KEY,               -- SHA-256
    expires_at  timestamptz NOT NULL
);
-- A word for a command line that a person in a browser let act as them; gone when it is used, whatever came of that.
CREATE TABLE login_code (
    hash        bytea PRIMARY KEY,               -- SHA-256
    challenge   text NOT NULL,                   -- of the command line: only who made it can use the word
    person      jsonb NOT NULL,
    expires_at  timestamptz NOT NULL
);
-- What an act over HTTP was answered under the key its client gave it (`Idempotency-Key`), so that it is done once however
-- often it is asked for. Written in the transaction of the act, gone after a day.
CREATE TABLE act_answer (
    owner         text NOT NULL,                 -- the token by its name, or the person by forge and number
    key           text NOT NULL,
    request       bytea NOT NULL,                -- SHA-256 of method, address and body
    repositories  jsonb NOT NULL,                -- forge and number of each it tells of: told again to whom may read them
    answer        jsonb NOT NULL,
    done_at       timestamptz NOT NULL,          -- by the server's clock
    CONSTRAINT act_answer_key PRIMARY KEY (owner, key)
);
