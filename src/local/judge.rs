//! `bascule judge`: the other end of `render::judge`. Reads an order, carries it out, says the answers. Whoever starts it
//! bounds its memory and its time as a whole; here each policy is given its own time, so that the one that takes long is
//! the one that is named.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use crate::policy::code::order::{Answer, Order};

/// One policy over all objects of a change.
const LONGEST: Duration = Duration::from_secs(10);
/// Policies are read by recursion, and values compared by it.
const STACK: usize = 64 << 20;

/// Carries out the order in a file. `begins` is told of each policy before it is asked: should the process end there, the
/// last one told is why.
///
/// # Errors
/// There is no order.
pub fn judge(order: &Path, begins: impl Fn(&str)) -> anyhow::Result<String> {
    let order: Arc<Order> = Arc::new(serde_json::from_slice(&std::fs::read(order)?)?);
    let mut answers: BTreeMap<String, Answer> = BTreeMap::new();
    let (asks, asked) = channel::<String>();
    let (answered, hears) = channel::<Answer>();
    let worker = order.clone();
    // Left behind when it takes too long; it ends with the process.
    let _thread = std::thread::Builder::new().stack_size(STACK).spawn(move || {
        while let Ok(name) = asked.recv() {
            if answered.send(worker.carry_out(&name)).is_err() {
                return;
            }
        }
    })?;
    for name in order.names() {
        begins(&name);
        asks.send(name.clone())?;
        let why = match hears.recv_timeout(LONGEST) {
            Ok(answer) => {
                answers.insert(name, answer);
                continue;
            }
            Err(RecvTimeoutError::Timeout) => format!("it took longer than {} s", LONGEST.as_secs()),
            Err(RecvTimeoutError::Disconnected) => "the engine failed".to_owned(),
        };
        // The others go without an answer, and are asked again in a process without this one.
        answers.insert(name, order.failed(&why));
        break;
    }
    Ok(serde_json::to_string(&answers)?)
}
