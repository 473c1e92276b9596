//! What is stored of an environment.

use super::*;

/// Environments are stored and read back; the entry's hash depends on the very text.
#[test]
fn what_is_stored_is_read_back_as_it_was() {
    let all = r#"{"name":"a","stage":"s","path":"p","chart":{"registry":"r","name":"n","version":"1.4.x","bound":{"version":"1.4.2","digest":"d"}},"helm":{"release":"r","values":["v"]},"target":{"cluster":"c","namespace":"n"},"branch":"b","after":[{"environment":"e"},{"environment":"f","soak_seconds":600}],"windows":[{"allow":"Mon-Fri 09:00-17:00","timezone":"Europe/Berlin"},{"deny":"2026-12-20/2027-01-02","timezone":"UTC"}],"consent":{"approvals":[{"count":2,"users":["u"],"teams":["t"],"groups":["g"],"roles":["write"],"when":{"paths":["x"],"kinds":["K"]}},{"count":1,"codeowners":true}],"by":["review"],"on_push":"void","binds":"set","checks":["ci/test"]},"deletions_confirm_above":3,"sync":{"mode":"manual","prune":false,"timeout_seconds":9},"admission":"required","drift":"heal","drift_issue":true,"owners":{"count":1,"groups":["g"]},"may":{"sync":{"groups":["g"]},"freeze":{"users":["u"]},"emergency":{"groups":["g"]}},"owner_file":{"path":"CODEOWNERS","forge":"gitlab","lines":["* @l"]},"ignore":{"r":{"kinds":["K"],"fields":["a.b"],"values":"x"}}}"#;
    let few = r#"{"name":"a","path":"","target":{"cluster":"c","namespace":"n"},"consent":{"approvals":[],"by":["review","command"],"on_push":"keep","binds":"change"},"sync":{"mode":"auto","prune":true,"timeout_seconds":300}}"#;
    for text in [all, few] {
        let read: Environment = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&read).unwrap(), text);
    }
}
