//! States and transitions of the node, as nodes of rclcpp_lifecycle have them.

use mdetr_ros2_messages::lifecycle_msgs::{State, Transition, TransitionDescription};

/// A state and its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Phase {
    /// Before there is a node.
    Unknown = State::PRIMARY_STATE_UNKNOWN,
    /// There is no model and no topics.
    Unconfigured = State::PRIMARY_STATE_UNCONFIGURED,
    /// There are; pictures are not taken.
    Inactive = State::PRIMARY_STATE_INACTIVE,
    /// Pictures are answered.
    Active = State::PRIMARY_STATE_ACTIVE,
    /// Nothing more happens.
    Finalized = State::PRIMARY_STATE_FINALIZED,
    /// The model is loaded.
    Configuring = State::TRANSITION_STATE_CONFIGURING,
    /// The model is given up.
    CleaningUp = State::TRANSITION_STATE_CLEANINGUP,
    /// All is given up.
    ShuttingDown = State::TRANSITION_STATE_SHUTTINGDOWN,
    /// Topics of pictures are subscribed to.
    Activating = State::TRANSITION_STATE_ACTIVATING,
    /// They are left.
    Deactivating = State::TRANSITION_STATE_DEACTIVATING,
    /// A transition broke down.
    ErrorProcessing = State::TRANSITION_STATE_ERRORPROCESSING,
}

const PHASES: [Phase; 11] = [
    Phase::Unknown,
    Phase::Unconfigured,
    Phase::Inactive,
    Phase::Active,
    Phase::Finalized,
    Phase::Configuring,
    Phase::CleaningUp,
    Phase::ShuttingDown,
    Phase::Activating,
    Phase::Deactivating,
    Phase::ErrorProcessing,
];

impl Phase {
    fn label(self) -> &'static str {
        match self {
            Phase::Unknown => "unknown",
            Phase::Unconfigured => "unconfigured",
            Phase::Inactive => "inactive",
            Phase::Active => "active",
            Phase::Finalized => "finalized",
            Phase::Configuring => "configuring",
            Phase::CleaningUp => "cleaningup",
            Phase::ShuttingDown => "shuttingdown",
            Phase::Activating => "activating",
            Phase::Deactivating => "deactivating",
            Phase::ErrorProcessing => "errorprocessing",
        }
    }

    /// As a message.
    pub fn state(self) -> State {
        State {
            id: self as u8,
            label: self.label().to_owned(),
        }
    }

    /// Whether there are a model and topics.
    pub fn is_configured(self) -> bool {
        matches!(self, Phase::Inactive | Phase::Active)
    }
}

/// A way from a state to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Step {
    /// Its number, of [`Transition`].
    pub id: u8,
    /// Its name.
    pub label: &'static str,
    /// Where it begins.
    pub from: Phase,
    /// Where it ends.
    pub to: Phase,
}

impl Step {
    /// As a message.
    pub fn transition(self) -> Transition {
        Transition {
            id: self.id,
            label: self.label.to_owned(),
        }
    }

    fn description(self) -> TransitionDescription {
        TransitionDescription {
            transition: self.transition(),
            start_state: self.from.state(),
            goal_state: self.to.state(),
        }
    }
}

/// How a transition went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// As it should.
    Success,
    /// Not; the state is the one before.
    Failure,
}

const fn step(id: u8, label: &'static str, from: Phase, to: Phase) -> Step {
    Step {
        id,
        label,
        from,
        to,
    }
}

/// The three ends of the transition state `from`, whose numbers follow each other from `id` on.
const fn ends(id: u8, from: Phase, success: Phase, failure: Phase, error: Phase) -> [Step; 3] {
    [
        step(id, "transition_success", from, success),
        step(id + 1, "transition_failure", from, failure),
        step(id + 2, "transition_error", from, error),
    ]
}

/// Every transition there is.
fn steps() -> Vec<Step> {
    use Phase::{
        Activating, Active, CleaningUp, Configuring, Deactivating, ErrorProcessing, Finalized,
        Inactive, ShuttingDown, Unconfigured,
    };
    use Transition as T;
    let asked = [
        step(
            T::TRANSITION_CONFIGURE,
            "configure",
            Unconfigured,
            Configuring,
        ),
        step(T::TRANSITION_CLEANUP, "cleanup", Inactive, CleaningUp),
        step(T::TRANSITION_ACTIVATE, "activate", Inactive, Activating),
        step(T::TRANSITION_DEACTIVATE, "deactivate", Active, Deactivating),
        step(
            T::TRANSITION_UNCONFIGURED_SHUTDOWN,
            "shutdown",
            Unconfigured,
            ShuttingDown,
        ),
        step(
            T::TRANSITION_INACTIVE_SHUTDOWN,
            "shutdown",
            Inactive,
            ShuttingDown,
        ),
        step(
            T::TRANSITION_ACTIVE_SHUTDOWN,
            "shutdown",
            Active,
            ShuttingDown,
        ),
    ];
    let configured = T::TRANSITION_ON_CONFIGURE_SUCCESS;
    let cleaned = T::TRANSITION_ON_CLEANUP_SUCCESS;
    let activated = T::TRANSITION_ON_ACTIVATE_SUCCESS;
    let deactivated = T::TRANSITION_ON_DEACTIVATE_SUCCESS;
    let shut = T::TRANSITION_ON_SHUTDOWN_SUCCESS;
    let mended = T::TRANSITION_ON_ERROR_SUCCESS;
    let mut steps = asked.to_vec();
    for ends in [
        ends(
            configured,
            Configuring,
            Inactive,
            Unconfigured,
            ErrorProcessing,
        ),
        ends(cleaned, CleaningUp, Unconfigured, Inactive, ErrorProcessing),
        ends(activated, Activating, Active, Inactive, ErrorProcessing),
        ends(deactivated, Deactivating, Inactive, Active, ErrorProcessing),
        ends(shut, ShuttingDown, Finalized, Finalized, ErrorProcessing),
        ends(mended, ErrorProcessing, Unconfigured, Finalized, Finalized),
    ] {
        steps.extend(ends);
    }
    steps
}

/// The transition that a request means in `phase`: by its name, where it has one, else by its number.
pub(crate) fn asked(phase: Phase, transition: &Transition) -> Option<Step> {
    let means = |step: &Step| match transition.label.as_str() {
        "" => step.id == transition.id,
        label => step.label == label,
    };
    let mut from = steps().into_iter().filter(|step| step.from == phase);
    from.find(means)
}

/// How the transition state `phase` ends.
pub(crate) fn end(phase: Phase, outcome: Outcome) -> Option<Step> {
    let label = match outcome {
        Outcome::Success => "transition_success",
        Outcome::Failure => "transition_failure",
    };
    let mut from = steps().into_iter().filter(|step| step.from == phase);
    from.find(|step| step.label == label)
}

/// All states.
pub(crate) fn states() -> Vec<State> {
    PHASES.iter().map(|phase| phase.state()).collect()
}

/// The transitions from a state.
pub(crate) fn available(phase: Phase) -> Vec<TransitionDescription> {
    let from = steps().into_iter().filter(|step| step.from == phase);
    from.map(Step::description).collect()
}

/// All transitions.
pub(crate) fn graph() -> Vec<TransitionDescription> {
    steps().into_iter().map(Step::description).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labelled(label: &str) -> Transition {
        Transition {
            id: 0,
            label: label.to_owned(),
        }
    }

    #[test]
    fn there_are_as_many_states_and_transitions_as_rcl_has() {
        assert_eq!(states().len(), 11);
        assert_eq!(graph().len(), 25);
        let ids: Vec<u8> = available(Phase::Inactive)
            .iter()
            .map(|description| description.transition.id)
            .collect();
        assert_eq!(ids, [2, 3, 6]);
        assert_eq!(available(Phase::Finalized), []);
    }

    #[test]
    fn a_life_goes_through_the_states() {
        let mut phase = Phase::Unconfigured;
        for (label, expected) in [
            ("configure", Phase::Inactive),
            ("activate", Phase::Active),
            ("deactivate", Phase::Inactive),
            ("cleanup", Phase::Unconfigured),
            ("shutdown", Phase::Finalized),
        ] {
            let step = asked(phase, &labelled(label)).expect(label);
            phase = end(step.to, Outcome::Success).expect(label).to;
            assert_eq!(phase, expected);
        }
        assert_eq!(asked(phase, &labelled("configure")), None);
    }

    #[test]
    fn a_failure_leads_back() {
        for (from, label) in [
            (Phase::Unconfigured, "configure"),
            (Phase::Inactive, "activate"),
            (Phase::Inactive, "cleanup"),
            (Phase::Active, "deactivate"),
        ] {
            let step = asked(from, &labelled(label)).expect(label);
            let back = end(step.to, Outcome::Failure).expect(label);
            assert_eq!(back.to, from, "{label}");
        }
    }

    #[test]
    fn the_name_of_a_transition_wins_over_its_number() {
        let both = Transition {
            id: Transition::TRANSITION_CLEANUP,
            label: "activate".into(),
        };
        let step = asked(Phase::Inactive, &both).expect("activate");
        assert_eq!(step.id, Transition::TRANSITION_ACTIVATE);
        let number = Transition {
            id: Transition::TRANSITION_CLEANUP,
            label: String::new(),
        };
        assert_eq!(
            asked(Phase::Inactive, &number).expect("cleanup").to,
            Phase::CleaningUp
        );
        assert_eq!(asked(Phase::Active, &number), None);
    }
}
