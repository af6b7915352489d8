//! What was measured: name, value, unit, and the figure to reach.

use serde_json::{Value, json};

/// Which way is better.
#[derive(Clone, Copy)]
pub enum Goal {
    /// At least so much.
    AtLeast(f64),
    /// At most so much.
    AtMost(f64),
    /// Only to be known.
    Known,
}

struct Figure {
    name: String,
    value: f64,
    unit: &'static str,
    goal: Goal,
}

/// All figures of a run.
#[derive(Default)]
pub struct Figures(Vec<Figure>);

impl Figures {
    /// Adds one and shows it at once.
    pub fn add(&mut self, name: impl Into<String>, value: f64, unit: &'static str, goal: Goal) {
        let figure = Figure { name: name.into(), value, unit, goal };
        eprintln!("  {}: {} {unit}", figure.name, short(value));
        self.0.push(figure);
    }

    /// For later comparisons.
    pub fn json(&self) -> String {
        let rows: Vec<Value> = self
            .0
            .iter()
            .map(|f| {
                let (sense, goal) = match f.goal {
                    Goal::AtLeast(goal) => ("at least", Some(goal)),
                    Goal::AtMost(goal) => ("at most", Some(goal)),
                    Goal::Known => ("", None),
                };
                json!({"name": f.name, "value": f.value, "unit": f.unit, "sense": sense, "goal": goal})
            })
            .collect();
        format!("{:#}\n", Value::Array(rows))
    }

    /// For people.
    pub fn table(&self) -> String {
        let width = self.0.iter().map(|f| f.name.len()).max().unwrap_or(0);
        let mut text = String::new();
        for figure in &self.0 {
            let (goal, met) = match figure.goal {
                Goal::AtLeast(goal) => (format!("> {}", short(goal)), Some(figure.value >= goal)),
                Goal::AtMost(goal) => (format!("< {}", short(goal)), Some(figure.value <= goal)),
                Goal::Known => (String::new(), None),
            };
            let mark = match met {
                Some(true) => "reached",
                Some(false) => "NOT reached",
                None => "",
            };
            text += &format!(
                "{:width$}  {:>12} {:6}  {goal:>10}  {mark}\n",
                figure.name,
                short(figure.value),
                figure.unit
            );
        }
        text
    }
}

fn short(value: f64) -> String {
    match value.abs() {
        v if v >= 100.0 => format!("{value:.0}"),
        v if v >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// The given quantile of samples.
pub fn quantile(samples: &mut [f64], q: f64) -> f64 {
    samples.sort_by(f64::total_cmp);
    if samples.is_empty() {
        return f64::NAN;
    }
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "an index of a small list"
    )]
    let at = ((samples.len() - 1) as f64 * q).round() as usize;
    samples[at]
}
