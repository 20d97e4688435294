// Apps: each credential of @azure/identity and msal-node, as they are, ends in a token that Graph takes.
import assert from "node:assert/strict";
import { createHash, X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { ClientCertificateCredential, ClientSecretCredential, ManagedIdentityCredential, WorkloadIdentityCredential } from "@azure/identity";
import { ConfidentialClientApplication } from "@azure/msal-node";

const env = process.env;
const scope = "https://graph.microsoft.com/.default";
const authorityHost = env.AUTHORITY.slice(0, -env.TENANT_ID.length);
const options = { authorityHost, disableInstanceDiscovery: true };

async function works(token, path = "/users") {
  const res = await fetch(env.GRAPH_BASE + path, { headers: { Authorization: `Bearer ${token}` } });
  assert.equal(res.status, 200, await res.text());
}

for (const [name, make, path] of [
  ["secret", () => new ClientSecretCredential(env.TENANT_ID, env.CLIENT_ID, env.CLIENT_SECRET, options)],
  ["certificate", () => new ClientCertificateCredential(env.TENANT_ID, env.CLIENT_ID, env.CERT_FILE, options)],
  ["certificate with chain", () => new ClientCertificateCredential(env.TENANT_ID, env.CLIENT_ID, env.CERT_FILE, { ...options, sendCertificateChain: true })],
  ["workload identity", () => new WorkloadIdentityCredential({ ...options, tenantId: env.TENANT_ID, clientId: env.CLIENT_ID, tokenFilePath: env.TOKEN_FILE })],
  ["managed identity, App Service", () => new ManagedIdentityCredential({ clientId: env.IDENTITY_CLIENT }), "/auditLogs/provisioning"],
]) {
  test(`@azure/identity: ${name}`, async () => {
    const got = await make().getToken(scope);
    assert.ok(got.expiresOnTimestamp > Date.now() + 50 * 60e3 && got.expiresOnTimestamp < Date.now() + 70 * 60e3);
    await works(got.token, path);
  });
}

const pem = readFileSync(env.CERT_FILE, "utf8");
const der = new X509Certificate(pem.slice(pem.indexOf("-----BEGIN CERTIFICATE"))).raw;
const privateKey = pem.slice(0, pem.indexOf("-----BEGIN CERTIFICATE"));
for (const [name, auth] of [
  ["secret", { clientSecret: env.CLIENT_SECRET }],
  ["certificate by SHA-1", { clientCertificate: { thumbprint: createHash("sha1").update(der).digest("hex"), privateKey } }],
  ["certificate by SHA-256", { clientCertificate: { thumbprintSha256: createHash("sha256").update(der).digest("hex"), privateKey } }],
]) {
  test(`msal-node: ${name}`, async () => {
    const app = new ConfidentialClientApplication({ auth: { clientId: env.CLIENT_ID, authority: env.AUTHORITY, knownAuthorities: [new URL(env.AUTHORITY).host], ...auth } });
    for (let i = 0; i < 2; i++) { // the second time with the same assertion
      const got = await app.acquireTokenByClientCredential({ scopes: [scope], skipCache: true });
      await works(got.accessToken);
    }
  });
}

test("a wrong secret is told as it is by the Microsoft identity platform", async () => {
  const wrong = new ClientSecretCredential(env.TENANT_ID, env.CLIENT_ID, "wrong", options);
  await assert.rejects(wrong.getToken(scope), /AADSTS7000215/);
});
