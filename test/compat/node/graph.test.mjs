// The Graph JavaScript client with a token of @azure/identity: the app, its job and schema, an upload, what became of it, and the account.
import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { ClientSecretCredential } from "@azure/identity";
import { Client, PageIterator } from "@microsoft/microsoft-graph-client";
import { TokenCredentialAuthenticationProvider } from "@microsoft/microsoft-graph-client/authProviders/azureTokenCredentials/index.js";

const env = process.env;
const base = new URL(env.GRAPH_BASE);
const credential = new ClientSecretCredential(env.TENANT_ID, env.CLIENT_ID, env.CLIENT_SECRET, {
  authorityHost: env.AUTHORITY.slice(0, -env.TENANT_ID.length),
  disableInstanceDiscovery: true,
});
const client = Client.initWithMiddleware({
  authProvider: new TokenCredentialAuthenticationProvider(credential, { scopes: ["https://graph.microsoft.com/.default"] }),
  baseUrl: base.origin + "/",
  customHosts: new Set([base.hostname]),
  defaultVersion: "v1.0",
});

const people = ["Ada", "Bo"].map((name, i) => ({
  method: "POST", bulkId: `js-${i}`, path: "/Users",
  data: {
    schemas: ["urn:ietf:params:scim:schemas:core:2.0:User"], externalId: `js-${i}`, userName: `js.${name}@corp.example`.toLowerCase(),
    displayName: `${name} of the JavaScript client`, active: true,
  },
}));

test("Graph JavaScript client: app, job, schema, upload, log, users", async () => {
  const apps = await client.api("/servicePrincipals").filter(`id eq '${env.SP_ID}' or appId eq '${env.SP_ID}'`).select("id,displayName").get();
  assert.deepEqual(apps.value.map((a) => a.id), [env.SP_ID]);
  const jobs = `/servicePrincipals/${env.SP_ID}/synchronization/jobs`;
  const [job] = (await client.api(jobs).get()).value;
  assert.equal(job.id, env.JOB_ID);
  const schema = await client.api(`${jobs}/${job.id}/schema`).get();
  assert.ok(schema.synchronizationRules[0].objectMappings[0].attributeMappings.length > 10);

  const accepted = await client.api(`${jobs}/${job.id}/bulkUpload`).header("Content-Type", "application/scim+json").responseType("raw")
    .post({ schemas: ["urn:ietf:params:scim:api:messages:2.0:BulkRequest"], Operations: people, failOnErrors: null });
  assert.equal(accepted.status, 202);

  let entries = [];
  for (let i = 0; i < 50 && entries.length < people.length; i++) {
    await pause(200);
    entries = [];
    const page = await client.api("/auditLogs/provisioning").filter(`jobId eq '${job.id}' and provisioningAction eq 'create'`).top(1).get();
    await new PageIterator(client, page, (e) => { if (e.sourceIdentity.id.startsWith("js-")) entries.push(e); return true; }).iterate();
  }
  assert.deepEqual(entries.map((e) => [e.sourceIdentity.id, e.provisioningStatusInfo.status]).sort(), [["js-0", "success"], ["js-1", "success"]]);

  const user = await client.api(`/users/${entries[0].targetIdentity.id}`).select(["displayName", "accountEnabled", "userPrincipalName"]).get();
  assert.match(user.displayName, /of the JavaScript client$/);
  assert.equal(user.accountEnabled, true);
  await assert.rejects(client.api("/users/nobody@corp.example").get(), (err) => err.statusCode === 404 && err.code === "Request_ResourceNotFound");
});
