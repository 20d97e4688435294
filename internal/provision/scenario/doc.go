// Package scenario holds the tests of the engine's semantics that read like a document: the pages of docs/behaviour. Each
// runs on the real engine, store and directory, with a clock that the page moves and a target that misbehaves when the page
// says so. It has no code, only tests; docs/behaviour/README.md describes the language.
//
// Reading order: document (a page into scenarios and steps), sentence (a step into a call), world (what a scenario runs
// on), target (misbehaving), given, when and then (the sentences), ledger (what must hold after every step).
package scenario
