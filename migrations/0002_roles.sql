-- What a running server may do. It logs in as a role of its own that is a member of `bascule_app`; the owner of the
-- tables runs migrations and nothing else. A later migration that adds a table grants what the server needs of it
-- (tests/it/roles.rs lists tables nobody granted).

-- Roles belong to the whole PostgreSQL server, so another database of it may have made this one, even at this moment.
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'bascule_app') THEN
        CREATE ROLE bascule_app NOLOGIN;
    END IF;
EXCEPTION
    WHEN duplicate_object OR unique_violation THEN NULL;
    WHEN insufficient_privilege THEN
        RAISE EXCEPTION 'the owner may not create roles: as an administrator run CREATE ROLE bascule_app NOLOGIN, then migrate again'
            USING ERRCODE = 'insufficient_privilege';
END $$;

-- No DDL: neither in the schema nor as temporary objects, which could shadow ours.
DO $$
BEGIN
    EXECUTE format('REVOKE CREATE, TEMPORARY ON DATABASE %I FROM PUBLIC', current_database());
END $$;
REVOKE CREATE ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO bascule_app;

-- Ordinary tables: rows come, change and go.
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO bascule_app;
GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO bascule_app;

-- The log, and the head every append locks.
REVOKE ALL ON audit_entry, audit_head FROM bascule_app;
GRANT SELECT, INSERT ON audit_entry TO bascule_app;
GRANT SELECT, UPDATE ON audit_head TO bascule_app;

-- What somebody did or was shown is never rewritten (consent, rules 5 to 7); the end of showing is its own column.
REVOKE UPDATE, DELETE ON approval, approval_void, approval_use, shown_change, push, comment_edit, delivery_conflict,
    environment_entry FROM bascule_app;
GRANT UPDATE (shown_at) ON shown_change TO bascule_app;

-- That a database was put back stays said; that it was looked at is its own column.
REVOKE UPDATE, DELETE ON restore FROM bascule_app;
GRANT UPDATE (confirmed_at, fence) ON restore TO bascule_app;
-- The count of claims goes on above what a cluster remembers of one that was lost.
GRANT UPDATE ON SEQUENCE job_fence TO bascule_app;

-- Who froze what, and why, stays said; that it ended is its own columns.
REVOKE UPDATE, DELETE ON frozen FROM bascule_app;
GRANT UPDATE (ended_at, ended_by) ON frozen TO bascule_app;

-- Who asked for an emergency stays said; what became of it is its own columns.
REVOKE UPDATE, DELETE ON emergency_request, emergency FROM bascule_app;
GRANT UPDATE (issue, reminders, reviewed_at, reviewed_by) ON emergency TO bascule_app;

-- Who went back to what, and what was pinned, stays said; what came of it is its own columns.
REVOKE UPDATE, DELETE ON rollback, pin, our_pull, revert, adoption FROM bascule_app;
GRANT UPDATE (taken_away, deployment_id, refused, ended_at) ON rollback TO bascule_app;
GRANT UPDATE (ended_at, ended_by) ON pin TO bascule_app;
GRANT UPDATE (branch, commit_sha, number, shown_as, why_not, ended_at) ON our_pull TO bascule_app;
GRANT UPDATE (title, body) ON adoption TO bascule_app;

-- A token ends by being revoked, so that the log's "token ci" always names somebody.
REVOKE UPDATE, DELETE ON api_token FROM bascule_app;
GRANT UPDATE (revoked_at) ON api_token TO bascule_app;

-- The installation's own row.
REVOKE INSERT, UPDATE, DELETE ON installation FROM bascule_app;
GRANT UPDATE (key_check) ON installation TO bascule_app;

-- A trigger's function runs without EXECUTE; nobody else has a use for it.
REVOKE ALL ON FUNCTION audit_is_append_only() FROM PUBLIC;
