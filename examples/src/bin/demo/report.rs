//! What the demo found, as a table.

use std::fmt;

use crate::digest::Digest;
use crate::input::Source;
use crate::message::{Finished, Opened, Progress, Task, Torn};
use crate::show;

/// Everything that the table tells.
pub struct Report<'a> {
    pub source: &'a Source,
    pub content: Digest,
    pub task: &'a Task,
    /// What the run that was killed said last.
    pub first: &'a Progress,
    pub opened: &'a Opened,
    pub second: &'a Finished,
}

impl Report<'_> {
    /// Streams that saw the input, all of it and nothing else.
    pub fn verified(&self) -> u64 {
        let seen = self.second.seen.iter();
        seen.filter(|(digest, _)| *digest == self.content).map(|(_, count)| count).sum()
    }

    /// How long streams took to get what was there before they started.
    fn caught_up(&self) -> String {
        let Progress { caught_up, caught_up_bytes, .. } = self.second.progress;
        let Some(time) = caught_up else { return "there was nothing to catch up with".to_owned() };
        let (bytes, rate) =
            (show::bytes(caught_up_bytes), show::gigabytes_per_second(caught_up_bytes, time));
        format!("all streams had those logs again after {}: {bytes}, {rate}", show::time(time))
    }
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { content, task, first, opened, second, .. } = *self;
        row(f, "input", &self.source.name())?;
        row(f, "logs", &show::count(content.logs))?;
        row(f, "bytes", &show::bytes(content.bytes))?;
        row(f, "streams", &show::count(task.streams))?;
        writeln!(f)?;
        columns(f, "", "before SIGKILL", "after recovery")?;
        let mut both = |name, value: &dyn Fn(&Progress) -> String| {
            columns(f, name, &value(first), &value(&second.progress))
        };
        both("logs acknowledged", &|run| show::count(run.appended_logs))?;
        both("appended durably", &|run| {
            show::megabytes_per_second(run.appended_bytes, run.append_time)
        })?;
        both("commit p50", &|run| show::time(run.commit.p50))?;
        both("commit p99", &|run| show::time(run.commit.p99))?;
        both("delivered to streams", &|run| show::bytes(run.delivered_bytes))?;
        both("delivered per second", &|run| {
            show::gigabytes_per_second(run.delivered_bytes, run.deliver_time)
        })?;
        both("delivery p50", &|run| show::time(run.delivery.p50))?;
        both("delivery p99", &|run| show::time(run.delivery.p99))?;
        writeln!(f)?;
        row(f, "killed", &killed(first))?;
        row(f, "recovered", &recovered(opened))?;
        row(f, "torn tail", &torn(opened.torn.as_ref()))?;
        let (pages, read) = (show::many(opened.pages, "page"), show::bytes(opened.bytes_read));
        row(
            f,
            "recovery",
            &format!("{}; {pages} with logs, {read} read", show::time(opened.recovery)),
        )?;
        row(f, "caught up", &self.caught_up())?;
        writeln!(f)?;
        row(f, "content", &format!("XXH3-128 {:032x}", content.hash))?;
        let streams = show::many(task.streams, "stream");
        for (digest, count) in second.seen.iter().filter(|(digest, _)| *digest != content) {
            row(f, "WRONG", &format!("{} of {streams} saw {digest}", show::count(*count)))?;
        }
        let verified = show::count(self.verified());
        let what = "saw every line, in order and byte for byte";
        row(f, "verified", &format!("{verified} of {streams} {what}"))
    }
}

/// How far a run was when it was killed.
pub fn killed(last: &Progress) -> String {
    let acknowledged = show::many(last.acknowledged, "log");
    let under_way = show::count(last.submitted - last.acknowledged);
    format!("{acknowledged} acknowledged, {under_way} more under way")
}

/// What was there again.
pub fn recovered(opened: &Opened) -> String {
    format!("{}, among them all that were acknowledged", show::many(opened.logs, "log"))
}

fn torn(torn: Option<&Torn>) -> String {
    torn.map_or_else(
        || "none".to_owned(),
        |torn| {
            let (offset, page) = (show::count(torn.offset), torn.page);
            let frames = show::many(torn.frames, "whole frame");
            format!("dropped from offset {offset} of page {page} on, with {frames} behind it")
        },
    )
}

fn row(f: &mut fmt::Formatter<'_>, name: &str, value: &str) -> fmt::Result {
    writeln!(f, "{name:<23}{value}")
}

fn columns(f: &mut fmt::Formatter<'_>, name: &str, first: &str, second: &str) -> fmt::Result {
    writeln!(f, "{name:<23}{first:>16}{second:>18}")
}
