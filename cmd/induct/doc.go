// Induct takes HR data in over the wire of Microsoft Graph's API-driven inbound provisioning and puts
// accounts out in a directory. This page is the tour of its code. README.md says how to use it,
// docs/design.md why it is built so.
//
// # Goals
//
//   - An unmodified client works: curl, Graph SDKs, MSAL.
//   - A 202 means durable, and every accepted record reaches an end that its sender can read.
//   - One process, one file, no server beside it, fast enough that nobody has to think about it.
//
// # The way of one upload
//
// Packages are the steps an upload walks through; open them in this order.
//
//	POST /v1.0/servicePrincipals/{sp}/synchronization/jobs/{job}/bulkUpload
//
//	 1  internal/graph      canonical path, route, request-id
//	 2  internal/oauth      bearer token → principal and its app roles                        401, 403
//	 3  internal/graph      rate limit and quota, media type, gzip, size               429, 400, 413
//	 4  internal/scim       ParseBulk: at most 50 operations, or which one is wrong              400
//	 5  internal/provision  Service.Accept → internal/sqlstore: on disk, with a number          202
//	───────────────────────────────── the queue is a table ─────────────────────────────────
//	 6  internal/provision  Runner takes the job's next batch, in the order of the numbers
//	 7  internal/mapping    Program.Evaluate, with internal/scim for paths and internal/expr for
//	                        expressions: record → desired attributes, out of scope, or a problem
//	 8  internal/directory  Find: by link, then by matching attributes
//	 9  internal/provision  Plan: desired and current → create, update, disable or nothing
//	10  internal/directory  Apply, in waves: the second record of one person waits for the first
//	11  internal/provision  one log entry for each record, one more for a reference that waited
//	12  internal/sqlstore   Unit.Commit: objects, entries, kept records, links, counters and
//	                        the position, in one transaction; managers at the end of the cycle
//
//	GET /v1.0/auditLogs/provisioning, GET …/jobs/{job}/uploads/{id}
//
//	13  internal/graph      facts as they were stored, in Graph's words; internal/graph/odata
//	                        reads $filter and its like
//
// Steps 7, 9 and 11 are pure: no I/O, and the clock is an argument. Test them with tables.
//
// # The map
//
// Two domains: a user's path (provision) and a token's path (oauth). Each owns the ports it needs:
// provision.Store, provision.Unit, provision.Target, provision.Objects, provision.DeletedItems, provision.Log, oauth.Store and
// oauth.People.
// sqlstore and directory implement them; graph calls them; this package puts them together and decides
// nothing. The table in internal/importtest says who may import whom, and fails if somebody does otherwise.
//
// Beside the path: internal/upload is the client behind `induct upload` and `induct job`, internal/upload/records its half that
// knows files; internal/graph/syncschema reads and writes the schemas that clients edit, internal/expr/regex and
// internal/expr/netdate are .NET's regular expressions and dates; internal/bench is the load behind `induct bench`;
// internal/localca makes the certificates of `--tls local`; internal/metrics shows figures and health to those who watch;
// examples/workforce is the company that `induct demo` uploads.
//
// # How to test
//
// `make check` while you work, `make test` for everything. Contract tests for the ports are in
// internal/provision/provisiontest: a new store or target is one line of test. The tests of this package
// start the real binary, and kill it.
package main
