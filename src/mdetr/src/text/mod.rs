//! Query text to text memory: tokenizer, encoder on demand, encodings kept in memory and on disk.

mod cache;
mod tokenizer;

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::{Arc, Mutex};

use lru::LruCache;

use crate::bundle::{Bundle, TEXT_GRAPH, TOKENIZER};
use crate::engine::{Engine, Graph, InputShape, InputType, Plan, View};
use crate::error::{EngineError, Error};
use crate::grounder::Counters;
use crate::query::Query;
use cache::{DiskCache, Lookup};
pub(crate) use tokenizer::TextTokenizer;
use tokenizer::Tokens;

/// The text encoder's output for one text.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct TextMemory {
    pub tokens: Tokens,
    /// `[L, d]`, row-major.
    pub data: Vec<f32>,
}

/// What encodes texts that are in no cache.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Source<'a> {
    pub bundle: &'a Bundle,
    pub tokenizer: &'a TextTokenizer,
    pub engine: &'a dyn Engine,
}

/// Gives text memories, by the cheapest way there is.
#[derive(Debug)]
pub(crate) struct TextEncoder {
    memory: Option<Mutex<LruCache<String, Arc<TextMemory>>>>,
    disk: Option<DiskCache>,
}

impl TextEncoder {
    /// Makes the cache directory.
    pub(crate) fn new(
        entries: usize,
        dir: Option<&Path>,
        bytes: u64,
    ) -> Result<TextEncoder, Error> {
        let disk = dir.map(|dir| DiskCache::open(dir, bytes)).transpose()?;
        let memory = NonZeroUsize::new(entries).map(|entries| Mutex::new(LruCache::new(entries)));
        Ok(TextEncoder { memory, disk })
    }

    /// The memory of each query. The text graph is loaded if one is in no cache, and dropped.
    ///
    /// `standing` are memories in use, by text: they need not be in a cache.
    pub(crate) fn encode(
        &self,
        queries: &[Arc<Query>],
        standing: HashMap<&str, Arc<TextMemory>>,
        source: Source,
        counters: &Counters,
    ) -> Result<Vec<Arc<TextMemory>>, Error> {
        let tokens: Vec<Tokens> = queries
            .iter()
            .map(|q| source.tokenizer.tokenize(q))
            .collect::<Result<_, _>>()?;
        let mut known = standing;
        let mut graph = None;
        let mut memories = Vec::with_capacity(queries.len());
        for (query, tokens) in queries.iter().zip(tokens) {
            let memory = match known
                .get(query.text())
                .cloned()
                .or_else(|| self.kept(query.text()))
            {
                Some(memory) => {
                    counters.cache_memory_hits.add(1);
                    memory
                }
                None => self.load_or_run(query.text(), tokens, &mut graph, source, counters)?,
            };
            if let Some(kept) = &self.memory {
                let mut kept = kept.lock().unwrap_or_else(|e| e.into_inner());
                kept.put(query.text().to_owned(), memory.clone());
            }
            known.insert(query.text(), memory.clone());
            memories.push(memory);
        }
        Ok(memories)
    }

    fn kept(&self, text: &str) -> Option<Arc<TextMemory>> {
        let mut kept = self
            .memory
            .as_ref()?
            .lock()
            .unwrap_or_else(|e| e.into_inner());
        kept.get(text).cloned()
    }

    fn load_or_run(
        &self,
        text: &str,
        tokens: Tokens,
        graph: &mut Option<TextGraph>,
        source: Source,
        counters: &Counters,
    ) -> Result<Arc<TextMemory>, Error> {
        let bundle = source.bundle;
        let d = bundle.manifest().network.d_model;
        let shape = [tokens.ids.len(), d];
        let key = cache::key(bundle.sha256(TEXT_GRAPH), bundle.sha256(TOKENIZER), text);
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
                graph.insert(TextGraph::load(bundle, source.engine)?)
            }
        };
        counters.text_encoder_runs.add(1);
        let data = graph.run(&tokens.ids, d)?;
        if let Some(disk) = &self.disk
            && disk.put(&key, text, shape, &data).is_err()
        {
            counters.cache_write_failures.add(1);
        }
        Ok(Arc::new(TextMemory { tokens, data }))
    }
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
            graph: engine.load(source)?,
            plans: HashMap::new(),
        })
    }

    /// `[L, d]` for L ids.
    fn run(&mut self, ids: &[i64], d: usize) -> Result<Vec<f32>, EngineError> {
        const OUTPUT: &str = "text_memory";
        let length = ids.len();
        let plan = match self.plans.get(&length) {
            Some(plan) => plan,
            None => {
                let input = |name| InputShape {
                    name,
                    element: InputType::I64,
                    shape: vec![1, length],
                };
                let plan = self
                    .graph
                    .plan(&[input("input_ids"), input("attention_mask")])?;
                self.plans.entry(length).or_insert(plan)
            }
        };
        let mask = vec![1; length];
        let memory = plan
            .run(&[View::I64(ids), View::I64(&mask)], &[OUTPUT])?
            .remove(0);
        memory.check(&self.path, OUTPUT, &[1, length, d])?;
        Ok(memory.data)
    }
}
