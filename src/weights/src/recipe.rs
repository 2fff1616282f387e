//! What a weight of a graph is made of.

use half::f16;
use half::slice::HalfFloatSliceExt;

use crate::entries::Entries;
use crate::error::ImportError;
use crate::values::{half, rounded, scales, transposed};

/// Added to the variance of a frozen norm. EfficientNet's too: MDETR replaces its norms.
const EPSILON: f64 = 1e-5;

/// What a weight of a graph is made of: the line in a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipe {
    form: Form,
    source: Source,
    is_transposed: bool,
}

/// How values are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Single,
    Half,
    Int8,
    Scale,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Source {
    Entry(String),
    /// A third of an entry's rows.
    Third(u64, String),
    /// Weights of a convolution with the norm behind it.
    Folded(String, String),
    /// What such a convolution adds.
    Shift(String),
    /// Rows of one entry, then of another.
    Joined(String, String),
}

/// Values as they stand in a graph.
#[derive(Debug, Clone, PartialEq)]
pub enum Values {
    Single(Vec<f32>),
    Half(Vec<f16>),
    Int8(Vec<i8>),
}

impl Values {
    /// Their bytes, in the order of machines that this runs on: little-endian.
    pub fn bytes(&self) -> &[u8] {
        match self {
            Values::Single(values) => bytemuck::cast_slice(values),
            Values::Half(values) => bytemuck::cast_slice(values.reinterpret_cast()),
            Values::Int8(values) => bytemuck::cast_slice(values),
        }
    }
}

impl Recipe {
    /// Reads a line of a template; `None` if it is none.
    pub fn parse(line: &str) -> Option<Recipe> {
        let words: Vec<&str> = line.split(' ').collect();
        let (form, words) = match *words.first()? {
            "half" => (Form::Half, &words[1..]),
            "int8" => (Form::Int8, &words[1..]),
            "scale" => (Form::Scale, &words[1..]),
            _ => (Form::Single, &words[..]),
        };
        let (is_transposed, source) = match *words {
            ["entry", name] => (false, Source::Entry(name.to_owned())),
            ["transposed", name] => (true, Source::Entry(name.to_owned())),
            [kind @ ("third" | "transposed-third"), index, name] => {
                let index = index.parse().ok().filter(|index| *index < 3)?;
                (
                    kind == "transposed-third",
                    Source::Third(index, name.to_owned()),
                )
            }
            ["folded", conv, norm] => (false, Source::Folded(conv.to_owned(), norm.to_owned())),
            ["shift", norm] => (false, Source::Shift(norm.to_owned())),
            ["joined", first, second] => {
                (false, Source::Joined(first.to_owned(), second.to_owned()))
            }
            _ => return None,
        };
        Some(Recipe {
            form,
            source,
            is_transposed,
        })
    }

    /// Bytes of a value.
    pub fn size(&self) -> u64 {
        match self.form {
            Form::Single | Form::Scale => 4,
            Form::Half => 2,
            Form::Int8 => 1,
        }
    }

    /// How many values there will be.
    pub fn len(&self, entries: &Entries) -> Result<u64, ImportError> {
        let shape = self.shape(entries)?;
        Ok(match self.form {
            Form::Scale => shape.last().copied().unwrap_or(1),
            _ => shape.iter().product(),
        })
    }

    /// The values.
    pub fn values(&self, entries: &Entries) -> Result<Values, ImportError> {
        let columns = self.shape(entries)?.last().copied().unwrap_or(1) as usize;
        let mut values = self.source.values(entries)?;
        if self.is_transposed {
            let before = values.len() / columns.max(1);
            values = transposed(&values, before);
        }
        Ok(match self.form {
            Form::Single => Values::Single(values),
            Form::Half => Values::Half(half(&values)),
            Form::Int8 => Values::Int8(rounded(&values, columns)),
            Form::Scale => Values::Single(scales(&values, columns)),
        })
    }

    /// Shape of the values before their columns are scaled.
    fn shape(&self, entries: &Entries) -> Result<Vec<u64>, ImportError> {
        let mut shape = match &self.source {
            Source::Entry(name) => entries.shape(name)?.to_vec(),
            Source::Third(_, name) => {
                let mut shape = entries.shape(name)?.to_vec();
                let rows = shape.first_mut();
                let rows = rows.filter(|rows| rows.is_multiple_of(3));
                *rows
                    .ok_or_else(|| entries.wrong(format!("{name}: expected rows in thirds")))? /= 3;
                shape
            }
            Source::Folded(conv, _) => entries.shape(&format!("{conv}.weight"))?.to_vec(),
            Source::Shift(norm) => entries.shape(&format!("{norm}.bias"))?.to_vec(),
            Source::Joined(first, second) => {
                let mut shape = entries.shape(first)?.to_vec();
                let more = entries.shape(second)?;
                match (shape.split_first_mut(), more.split_first()) {
                    (Some((rows, rest)), Some((more, others))) if rest == others => *rows += more,
                    _ => {
                        let message = format!("{first} and {second}: expected rows alike");
                        return Err(entries.wrong(message));
                    }
                }
                shape
            }
        };
        if self.is_transposed {
            shape.reverse();
        }
        Ok(shape)
    }
}

impl Source {
    fn values(&self, entries: &Entries) -> Result<Vec<f32>, ImportError> {
        match self {
            Source::Entry(name) => entries.values(name),
            Source::Third(index, name) => {
                let mut values = entries.values(name)?;
                let third = values.len() / 3;
                values.drain(..*index as usize * third);
                values.truncate(third);
                Ok(values)
            }
            Source::Folded(conv, norm) => {
                let mut values = entries.values(&format!("{conv}.weight"))?;
                let norm = Norm::of(entries, norm)?;
                let each = values.len() / norm.scale.len().max(1);
                for (values, scale) in values.chunks_mut(each.max(1)).zip(&norm.scale) {
                    for value in values {
                        *value = (f64::from(*value) * scale) as f32;
                    }
                }
                Ok(values)
            }
            Source::Shift(norm) => Ok(Norm::of(entries, norm)?.shift),
            Source::Joined(first, second) => {
                let mut values = entries.values(first)?;
                values.extend(entries.values(second)?);
                Ok(values)
            }
        }
    }
}

/// What a frozen norm multiplies channels by, and adds.
struct Norm {
    scale: Vec<f64>,
    shift: Vec<f32>,
}

impl Norm {
    fn of(entries: &Entries, name: &str) -> Result<Norm, ImportError> {
        let part = |part: &str| entries.values(&format!("{name}.{part}"));
        let variances = part("running_var")?;
        if variances.iter().any(|variance| *variance < 0.0) {
            let message = format!("{name}.running_var: expected variances of 0 and above");
            return Err(entries.wrong(message));
        }
        let scale: Vec<f64> = part("weight")?
            .iter()
            .zip(&variances)
            .map(|(weight, variance)| {
                f64::from(*weight) * (1.0 / (f64::from(*variance) + EPSILON).sqrt())
            })
            .collect();
        let shift = part("bias")?
            .iter()
            .zip(part("running_mean")?)
            .zip(&scale)
            .map(|((bias, mean), scale)| (f64::from(*bias) - f64::from(mean) * scale) as f32)
            .collect();
        Ok(Norm { scale, shift })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read() {
        let recipe = Recipe::parse("half transposed-third 2 a.b").unwrap();
        assert_eq!(recipe.form, Form::Half);
        assert!(recipe.is_transposed);
        assert_eq!(recipe.source, Source::Third(2, "a.b".to_owned()));
        for line in [
            "",
            "half",
            "entry",
            "entry a b",
            "third 3 a",
            "third x a",
            "entry  a",
        ] {
            assert_eq!(Recipe::parse(line), None, "{line:?}");
        }
    }
}
