// People: msal-node's authorization code flow with PKCE, and its refresh tokens. The browser is played with fetch.
import assert from "node:assert/strict";
import { test } from "node:test";
import { CryptoProvider, PublicClientApplication } from "@azure/msal-node";

const env = process.env;
const redirectUri = "http://localhost:53123/";
const scopes = ["User.ReadWrite.All"];
const knownAuthorities = [new URL(env.AUTHORITY).host];

// visit follows no redirect and returns where one leads to.
async function visit(url, cookie) {
  const res = await fetch(url, { redirect: "manual", headers: cookie ? { Cookie: cookie } : {} });
  return { res, location: res.headers.get("location"), cookie: res.headers.getSetCookie().map((c) => c.split(";")[0]).join("; ") };
}

test("msal-node: authorization code with PKCE, then refresh", async () => {
  const app = new PublicClientApplication({ auth: { clientId: env.ADMIN_CLIENT, authority: env.AUTHORITY, knownAuthorities } });
  const { verifier, challenge } = await new CryptoProvider().generatePkceCodes();
  const url = await app.getAuthCodeUrl({ scopes, redirectUri, codeChallenge: challenge, codeChallengeMethod: "S256", state: "s1", nonce: "n1" });

  const page = await visit(url);
  assert.equal(page.res.status, 200);
  assert.match(await page.res.text(), /Induct admin center/);
  const { cookie } = await visit(env.SIGN_IN);
  const { location } = await visit(url, cookie);
  const answer = new URL(location);
  assert.equal(answer.origin + answer.pathname, redirectUri);
  assert.equal(answer.searchParams.get("state"), "s1");

  const got = await app.acquireTokenByCode({ code: answer.searchParams.get("code"), scopes, redirectUri, codeVerifier: verifier }, { nonce: "n1" });
  assert.match(got.account.username, /^dev-admin@/);
  assert.equal(got.account.tenantId, env.TENANT_ID);
  assert.equal(got.idTokenClaims.preferred_username, got.account.username);
  assert.ok(got.scopes.includes("User.ReadWrite.All"), got.scopes);

  const info = await fetch(new URL("/oidc/userinfo", env.AUTHORITY), { headers: { Authorization: `Bearer ${got.accessToken}` } });
  assert.equal((await info.json()).sub, got.idTokenClaims.sub);

  for (let i = 0; i < 3; i++) { // each refresh token is good once
    const again = await app.acquireTokenSilent({ account: got.account, scopes, forceRefresh: true });
    assert.notEqual(again.accessToken, got.accessToken);
  }
  await assert.rejects(app.acquireTokenByCode({ code: answer.searchParams.get("code"), scopes, redirectUri, codeVerifier: verifier }), /AADSTS54005/);
});

test("msal-node: a login at `organizations`", async () => {
  const app = new PublicClientApplication({ auth: { clientId: env.ADMIN_CLIENT, authority: new URL("/organizations", env.AUTHORITY).href, knownAuthorities } });
  const url = await app.getAuthCodeUrl({ scopes: ["User.Read"], redirectUri, prompt: "none", codeChallenge: "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM", codeChallengeMethod: "S256" });
  const { location } = await visit(url);
  assert.equal(new URL(location).searchParams.get("error"), "login_required");
});
