// A managed identity of a virtual machine. It is a file of its own because the library remembers where it found one.
import assert from "node:assert/strict";
import { test } from "node:test";

delete process.env.IDENTITY_ENDPOINT;
delete process.env.IDENTITY_HEADER;
process.env.AZURE_POD_IDENTITY_AUTHORITY_HOST = process.env.MACHINE_HOST;
const { ManagedIdentityCredential } = await import("@azure/identity");

test("@azure/identity: managed identity, virtual machine", async () => {
  const got = await new ManagedIdentityCredential({ clientId: process.env.IDENTITY_CLIENT }).getToken("https://graph.microsoft.com/.default");
  const res = await fetch(process.env.GRAPH_BASE + "/auditLogs/provisioning", { headers: { Authorization: `Bearer ${got.token}` } });
  assert.equal(res.status, 200, await res.text());
});
