//! One class of what a provider has, and whether an amount fits into it.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The greatest number that placement takes for any amount.
pub const MAX_INT: u64 = 0x7FFF_FFFF;

/// How much of one class a provider has.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Inventory {
    /// All of it.
    pub total: u64,
    /// Never given away.
    pub reserved: u64,
    /// The least that one consumer takes.
    pub min_unit: u64,
    /// The most that one consumer takes.
    pub max_unit: u64,
    /// Amounts are multiples of this.
    pub step_size: u64,
    /// How often the rest is given away.
    pub allocation_ratio: f64,
}

/// Why an amount does not fit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Misfit {
    /// Not enough is free.
    Full {
        /// What was asked.
        asked: u64,
        /// What is free.
        free: u64,
        /// What there is when all is free.
        capacity: u64,
    },
    /// Less than one consumer may take, or more, or no multiple of the step.
    Unit {
        /// What was asked.
        asked: u64,
        /// The least.
        min: u64,
        /// The most.
        max: u64,
        /// The step.
        step: u64,
    },
}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Misfit::Full { asked, free, capacity } => {
                write!(f, "{asked} asked, {free} of {capacity} free")
            }
            Misfit::Unit { asked, max, .. } if asked > max => {
                write!(f, "{asked} asked, one consumer may take {max}")
            }
            Misfit::Unit { asked, min, .. } if asked < min => {
                write!(f, "{asked} asked, the least is {min}")
            }
            Misfit::Unit { asked, step, .. } => {
                write!(f, "{asked} asked, which is no multiple of {step}")
            }
        }
    }
}

impl Inventory {
    /// So much, all of it to be given away once, to one consumer if it likes.
    pub fn of(total: u64) -> Inventory {
        Inventory {
            total,
            reserved: 0,
            min_unit: 1,
            max_unit: total,
            step_size: 1,
            allocation_ratio: 1.0,
        }
    }

    /// What can be given away: placement's own arithmetic, cut down to a whole number.
    pub fn capacity(&self) -> u64 {
        (self.total.saturating_sub(self.reserved) as f64 * self.allocation_ratio) as u64
    }

    /// Whether one consumer may take `amount`, however much is free.
    ///
    /// # Errors
    /// The unit that stands against it.
    pub fn takes(&self, amount: u64) -> Result<(), Misfit> {
        let whole = amount.is_multiple_of(self.step_size.max(1));
        if amount >= self.min_unit && amount <= self.max_unit && whole {
            return Ok(());
        }
        Err(Misfit::Unit {
            asked: amount,
            min: self.min_unit,
            max: self.max_unit,
            step: self.step_size,
        })
    }

    /// Whether one consumer may take `amount` while `used` is taken by others.
    ///
    /// # Errors
    /// What stands against it.
    pub fn fits(&self, amount: u64, used: u64) -> Result<(), Misfit> {
        self.takes(amount)?;
        let capacity = self.capacity();
        if used.saturating_add(amount) <= capacity {
            return Ok(());
        }
        Err(Misfit::Full { asked: amount, free: capacity.saturating_sub(used), capacity })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capacity_is_cut_down() {
        let cpus = Inventory { reserved: 1, allocation_ratio: 1.5, ..Inventory::of(4) };
        assert_eq!(cpus.capacity(), 4);
        assert_eq!(cpus.fits(4, 0), Ok(()));
        assert_eq!(cpus.fits(1, 4), Err(Misfit::Full { asked: 1, free: 0, capacity: 4 }));
    }

    #[test]
    fn units() {
        let disk = Inventory { min_unit: 10, max_unit: 50, step_size: 10, ..Inventory::of(1000) };
        let say = |amount| disk.fits(amount, 0).map_err(|why| why.to_string());
        assert_eq!(say(20), Ok(()));
        assert_eq!(say(5), Err("5 asked, the least is 10".into()));
        assert_eq!(say(60), Err("60 asked, one consumer may take 50".into()));
        assert_eq!(say(25), Err("25 asked, which is no multiple of 10".into()));
    }
}
