//! What the loop has done by others: steps by the driver, answers from it.

use std::{sync::Arc, time::Duration};

use base::Result;
use orders::{Answer, Question, VmId, VmOrder};

use super::core::Ended;
use crate::{
    drivers::hypervisor::{Hypervisor, tail},
    plan::Step,
};

/// Carries out one step.
pub(super) async fn carry_out(
    hypervisor: &dyn Hypervisor,
    step: Step,
    order: &Arc<VmOrder>,
) -> Result<()> {
    let id = &order.id;
    match step {
        Step::Prepare => hypervisor.prepare(order).await,
        Step::Start => hypervisor.start(order).await,
        Step::Reset(number) => hypervisor.reset(id, number).await,
        Step::Powerdown => hypervisor.powerdown(id).await,
        Step::CutOff => hypervisor.cut_off(id).await,
        Step::Adopt => hypervisor.adopt(id, order.epoch).await,
        Step::Remove => hypervisor.remove(id).await,
    }
}

/// Logs how a step ended.
pub(super) fn tell(id: &VmId, step: Step, ended: &Ended, took: Duration) {
    let duration_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    match ended {
        Ended::Well => tracing::debug!(server.id = %id, duration_ms, "{step:?} done"),
        Ended::Dropped => tracing::debug!(server.id = %id, duration_ms, "{step:?} given up"),
        Ended::Badly(error) => {
            tracing::warn!(server.id = %id, duration_ms, "{step:?} failed: {error:?}");
        }
    }
}

/// Answers a question.
pub(super) async fn reply(hypervisor: &dyn Hypervisor, question: Question) -> Answer {
    match question {
        Question::ConsoleText { vm, lines } => match hypervisor.console_text(&vm).await {
            Ok(Some(text)) => Answer::Text(tail(&text, lines).to_owned()),
            Ok(None) => Answer::NotHere,
            Err(error) => Answer::Failed(error.message().to_owned()),
        },
        Question::Diagnostics { vm } => match hypervisor.diagnostics(&vm).await {
            Ok(Some(figures)) => Answer::Json(figures),
            Ok(None) => Answer::NotHere,
            Err(error) => Answer::Failed(error.message().to_owned()),
        },
    }
}
