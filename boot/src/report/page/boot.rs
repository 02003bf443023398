//! The phases of the boot on one axis of time.

use crate::report::format::duration;
use crate::report::summary::{Phase, Report};
use crate::report::tables::nested;
use maud::{Markup, html};

/// Renders the phases. Each bar begins and ends where its phase did; inner phases are below the outer one.
pub(super) fn section(report: &Report) -> Markup {
    let until_ns = report.phases.iter().map(|phase| phase.end_ns.max(phase.ns)).max().unwrap_or(0).max(1);
    let percent = |ns: u64| ns as f64 * 100.0 / until_ns as f64;
    let place = |phase: &Phase| {
        let start_ns = phase.end_ns.saturating_sub(phase.ns);
        format!("left:{:.3}%;width:{:.3}%", percent(start_ns), percent(phase.ns.min(phase.end_ns)))
    };
    html! {
        @if !report.phases.is_empty() {
            section {
                h2 { "Boot" }
                p.hint { "Time from the kernel's entry, to the right. Inner phases are below their outer one." }
                div.phases {
                    @for (depth, name, phase) in nested(&report.phases) {
                        div.phase style=(format!("--depth:{depth}")) title=(phase.name) {
                            span.name { (name) }
                            span.track { span.fill style=(place(phase)) {} }
                            span.value { (duration(phase.ns)) }
                        }
                    }
                    div.phase.axis {
                        span.name {}
                        span.track { span { "0" } span { (duration(until_ns / 2)) } span { (duration(until_ns)) } }
                        span.value {}
                    }
                }
            }
        }
    }
}
