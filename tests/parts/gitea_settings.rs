//! Gitea's settings.

use std::path::Path;

/// Its `app.ini`: one SQLite file, loopback only, webhooks to loopback, and nothing that calls out or runs by a clock.
pub(super) fn app_ini(folder: &Path, static_root: &Path, port: u16) -> String {
    let folder = folder.display();
    let static_root = static_root.display();
    format!(
        "APP_NAME = Gitea
RUN_MODE = prod
WORK_PATH = {folder}
I_AM_BEING_UNSAFE_RUNNING_AS_ROOT = true

[server]
HTTP_ADDR = 127.0.0.1
HTTP_PORT = {port}
ROOT_URL = http://127.0.0.1:{port}/
STATIC_ROOT_PATH = {static_root}
DISABLE_SSH = true
OFFLINE_MODE = true

[database]
DB_TYPE = sqlite3
PATH = {folder}/gitea.db
SQLITE_JOURNAL_MODE = WAL

[repository]
ROOT = {folder}/repositories
DEFAULT_BRANCH = main
DEFAULT_PRIVATE = public

[webhook]
ALLOWED_HOST_LIST = loopback
DELIVER_TIMEOUT = 5

[security]
INSTALL_LOCK = true

[service]
DISABLE_REGISTRATION = true
ENABLE_NOTIFY_MAIL = false

[log]
MODE = console
LEVEL = Warn

[actions]
ENABLED = false

[cron]
ENABLED = false

[indexer]
ISSUE_INDEXER_TYPE = db

[session]
PROVIDER = memory
"
    )
}
