//! Query text to text memory: tokenizer, encoder on demand, encodings kept in memory and on disk.

pub(crate) mod cache;
mod normal;
mod tokenizer;

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use lru::LruCache;
use mdetr_engine::disk::Lookup;
use mdetr_engine::{Engine, EngineError, Graph, InputShape, InputType, Plan, View, locked};
use mdetr_grounding::QueryError;

use crate::bundle::{Bundle, TEXT_GRAPH, TOKENIZER};
use crate::counters::Counters;
use crate::error::Error;
use cache::DiskCache;
pub(crate) use normal::Normalised;
use tokenizer::TextTokenizer;
pub(crate) use tokenizer::Tokens;

/// The text encoder's output for one text.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct TextMemory {
    pub tokens: Tokens,
    /// `[L, d]`, row-major.
    pub data: Vec<f32>,
}

/// Gives text memories, by the cheapest way there is.
#[derive(Debug)]
pub(crate) struct TextEncoder {
    bundle: Bundle,
    tokenizer: TextTokenizer,
    memory: Option<Mutex<LruCache<String, Arc<TextMemory>>>>,
    /// Held while the text graph is loaded, so that it is in memory once.
    encoding: Mutex<()>,
    disk: Option<DiskCache>,
}

impl TextEncoder {
    /// Reads the tokenizer and makes the cache directory; the text graph is left alone.
    pub(crate) fn new(
        bundle: Bundle,
        entries: usize,
        dir: Option<&Path>,
        bytes: u64,
    ) -> Result<TextEncoder, Error> {
        let json = bundle.read(TOKENIZER)?;
        let max_tokens = bundle.manifest().max_tokens();
        let tokenizer = TextTokenizer::new(&bundle.path(TOKENIZER), &json, max_tokens)?;
        let disk = dir.map(|dir| DiskCache::open(dir, bytes)).transpose()?;
        let memory = NonZeroUsize::new(entries).map(|entries| Mutex::new(LruCache::new(entries)));
        Ok(TextEncoder {
            bundle,
            tokenizer,
            memory,
            encoding: Mutex::default(),
            disk,
        })
    }

    /// Token ids and their places in `text`, which is [normalised](Normalised); `id` is that of a query,
    /// for messages.
    pub(crate) fn tokenize(&self, id: &str, text: &str) -> Result<Tokens, QueryError> {
        self.tokenizer.tokenize(id, text)
    }

    /// The memory of each [normalised](Normalised) text, given with the id of its query, or of one of
    /// them. The text graph is loaded if one is in no cache, and dropped.
    ///
    /// `standing` are memories in use, by text: they need not be in a cache.
    pub(crate) fn encode<'a>(
        &self,
        texts: &[(&'a str, &'a str)],
        standing: HashMap<&'a str, Arc<TextMemory>>,
        engine: &dyn Engine,
        counters: &Counters,
        given_up: &AtomicBool,
    ) -> Result<Vec<Arc<TextMemory>>, Error> {
        let tokens: Vec<Tokens> = texts
            .iter()
            .map(|(id, text)| self.tokenize(id, text))
            .collect::<Result<_, _>>()?;
        let mut known = standing;
        let mut graph = None;
        let mut encoding = None;
        let mut memories = Vec::with_capacity(texts.len());
        for (&(_, text), tokens) in texts.iter().zip(tokens) {
            if given_up.load(Ordering::Relaxed) {
                return Err(Error::GivenUp);
            }
            let mut memory = known.get(text).cloned().or_else(|| self.kept(text));
            if memory.is_none() && encoding.is_none() {
                encoding = Some(locked(&self.encoding));
                // Another thread may have encoded it meanwhile.
                memory = self.kept(text);
            }
            let memory = match memory {
                Some(memory) => {
                    counters.cache_memory_hits.add(1);
                    memory
                }
                None => self.load_or_run(text, tokens, &mut graph, engine, counters)?,
            };
            if let Some(kept) = &self.memory {
                locked(kept).put(text.to_owned(), memory.clone());
            }
            known.insert(text, memory.clone());
            memories.push(memory);
        }
        Ok(memories)
    }

    fn kept(&self, text: &str) -> Option<Arc<TextMemory>> {
        let mut kept = locked(self.memory.as_ref()?);
        kept.get(text).cloned()
    }

    fn load_or_run(
        &self,
        text: &str,
        tokens: Tokens,
        graph: &mut Option<TextGraph>,
        engine: &dyn Engine,
        counters: &Counters,
    ) -> Result<Arc<TextMemory>, Error> {
        let d = self.bundle.manifest().network.d_model;
        let shape = [tokens.ids.len(), d];
        let key = cache::key(
            self.bundle.sha256(TEXT_GRAPH),
            self.bundle.sha256(TOKENIZER),
            text,
        );
        if let Some(disk) = &self.disk {
            match disk.get(&key, text, shape) {
                Lookup::Found(data) => {
                    counters.cache_disk_hits.add(1);
                    return Ok(Arc::new(TextMemory { tokens, data }));
                }
                Lookup::Damaged => counters.cache_damaged.add(1),
                Lookup::Missing => {}
            }
        }
        let graph = match graph {
            Some(graph) => graph,
            None => {
                counters.text_encoder_loads.add(1);
                graph.insert(TextGraph::load(&self.bundle, engine)?)
            }
        };
        counters.text_encoder_runs.add(1);
        let data = graph.run(&tokens.ids, d, self.bundle.manifest().max_tokens())?;
        if let Some(disk) = &self.disk
            && disk.put(&key, text, shape, &data).is_err()
        {
            counters.cache_write_failures.add(1);
        }
        Ok(Arc::new(TextMemory { tokens, data }))
    }
}

/// Inputs of the text graph.
pub(crate) fn text_inputs(length: usize, max_tokens: usize) -> Vec<InputShape> {
    /// Tokens of most queries, with their padding.
    const USUAL: usize = 8;
    let input =
        |name| InputShape::new(name, InputType::I64, vec![1, length]).varying(1, USUAL, max_tokens);
    vec![input("input_ids"), input("attention_mask")]
}

/// The loaded text graph and its plans by sequence length.
struct TextGraph {
    path: String,
    graph: Box<dyn Graph>,
    plans: HashMap<usize, Arc<dyn Plan>>,
}

impl TextGraph {
    fn load(bundle: &Bundle, engine: &dyn Engine) -> Result<TextGraph, Error> {
        let source = bundle.graph(TEXT_GRAPH)?;
        let path = source.path.clone();
        Ok(TextGraph {
            path,
            graph: engine.load_briefly(source)?,
            plans: HashMap::new(),
        })
    }

    /// `[L, d]` for L ids.
    fn run(&mut self, ids: &[i64], d: usize, max_tokens: usize) -> Result<Vec<f32>, EngineError> {
        const OUTPUT: &str = "text_memory";
        let length = ids.len();
        let plan = match self.plans.get(&length) {
            Some(plan) => plan,
            None => {
                let plan = self.graph.plan(&text_inputs(length, max_tokens))?;
                self.plans.entry(length).or_insert(plan)
            }
        };
        let mask = vec![1; length];
        let memory = plan
            .run(&[View::I64(ids), View::I64(&mask)], &[OUTPUT], &[])?
            .remove(0);
        memory.check(&self.path, OUTPUT, &[1, length, d])?;
        Ok(memory.into_host())
    }
}
