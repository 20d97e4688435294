//go:build node

package compat

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/uuid"
)

// TestNode runs the identity libraries for Node.js: `npm ci` in node must have been done, as `make compat` does.
func TestNode(t *testing.T) {
	in := install(t)
	s := in.start(t)
	in.identityEnvironment(t)
	tokenFile := filepath.Join(t.TempDir(), "token")
	write(t, tokenFile, []byte(in.serviceAccountToken(t)))
	link := regexp.MustCompile(`https://\S+/setup\?code=\w+`).FindString(s.out.String())
	machine := strings.TrimSuffix(os.Getenv("IDENTITY_ENDPOINT"), "/msi/token")
	cmd := exec.CommandContext(t.Context(), "node", "--test")
	cmd.Dir = "node"
	cmd.Env = append(os.Environ(), "NODE_EXTRA_CA_CERTS="+s.env["CA_FILE"], "CERT_FILE="+in.certFile, "TOKEN_FILE="+tokenFile, "IDENTITY_CLIENT="+in.identity,
		"MACHINE_HOST="+machine, "SIGN_IN="+link, "ADMIN_CLIENT="+uuid.NewSHA1(uuid.MustParse(s.env["TENANT_ID"]), []byte("admin-center app")).String())
	for _, name := range []string{"AUTHORITY", "TENANT_ID", "CLIENT_ID", "CLIENT_SECRET", "GRAPH_BASE", "SP_ID", "JOB_ID"} {
		cmd.Env = append(cmd.Env, name+"="+s.env[name])
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Logf("%s", out)
}
