package keyfiles

import "strings"

// rule is a kind of file that holds keys, tokens or passwords.
type rule struct {
	why   string
	names []string // whole names, in lower case
	under string   // the name of the directory that it must lie in; "" for any
	dir   bool     // a directory, hidden whole

	// holds are texts of which one must be in the first bytes of the file. Empty: the
	// name is enough.
	holds []string
}

// rules are for whole names. The list is of files that tools write secrets to by
// default, and short on purpose: what is hidden for no reason breaks builds.
var rules = []rule{
	{why: "environment file", names: []string{".env", ".envrc"}},
	{why: "SSH directory", names: []string{".ssh"}, dir: true},
	{why: "GnuPG directory", names: []string{".gnupg"}, dir: true},
	{why: "npm credentials", names: []string{".npmrc"}},
	{why: "Python package index credentials", names: []string{".pypirc"}},
	{why: "login credentials", names: []string{".netrc", "_netrc"}},
	{why: "git credentials", names: []string{".git-credentials"}},
	{why: "database password", names: []string{".pgpass", ".my.cnf", ".mylogin.cnf"}},
	{why: "web server passwords", names: []string{".htpasswd"}},
	{why: "container registry credentials", names: []string{".dockercfg", ".dockerconfigjson"}},
	{why: "container registry credentials", names: []string{"config.json"}, under: ".docker"},
	{why: "AWS credentials", names: []string{"credentials", "config"}, under: ".aws"},
	{why: "Kubernetes credentials", names: []string{"config"}, under: ".kube"},
	{why: "Kubernetes credentials", names: []string{"kubeconfig"}},
	{why: "Google Cloud credentials", names: []string{"application_default_credentials.json", "credentials.db", "access_tokens.db"}},
	{why: "Azure credentials", names: []string{".azure"}, dir: true},
	{why: "Cargo credentials", names: []string{"credentials", "credentials.toml"}, under: ".cargo"},
	{why: "RubyGems credentials", names: []string{"credentials"}, under: ".gem"},
	{why: "Maven credentials", names: []string{"settings-security.xml"}},
	{why: "Terraform credentials", names: []string{".terraformrc", "credentials.tfrc.json"}},
	{why: "Terraform state", names: []string{"terraform.tfstate", "terraform.tfstate.backup"}},
	{why: "Vault token", names: []string{".vault-token"}},
}

// templates are the last parts of .env.* that people commit for others to fill in.
var templates = []string{"example", "sample", "template", "dist", "defaults", "schema", "tpl"}

var (
	pem     = []string{"PRIVATE KEY"}
	account = []string{`"private_key"`, `"refresh_token"`, `"client_secret"`}
)

// bySuffix are for the ends of names.
var bySuffix = []struct {
	suffix string
	rule   rule
}{
	// Certificates and public keys are called so too, and test suites need them.
	{".pem", rule{why: "private key", holds: pem}},
	{".key", rule{why: "private key", holds: pem}},
	{".p8", rule{why: "private key", holds: pem}},
	{".ppk", rule{why: "private key"}},
	{".p12", rule{why: "key store"}},
	{".pfx", rule{why: "key store"}},
	{".jks", rule{why: "key store"}},
	{".keystore", rule{why: "key store"}},
	{".kdbx", rule{why: "password database"}},
	{".tfvars", rule{why: "Terraform variables"}},
	{".env", rule{why: "environment file"}},
}

// ruleFor returns the rule that a name in a directory called parent falls under. Whether
// the file's content fits is another question.
func ruleFor(parent, name string) (rule, bool) {
	if !candidate(name) {
		return rule{}, false
	}
	name = strings.ToLower(name)
	for _, r := range rules {
		for _, n := range r.names {
			if n == name && (r.under == "" || strings.EqualFold(r.under, parent)) {
				return r, true
			}
		}
	}
	for _, s := range bySuffix {
		if strings.HasSuffix(name, s.suffix) {
			return s.rule, true
		}
	}
	if kind, ok := strings.CutPrefix(name, ".env."); ok {
		for _, t := range templates {
			if kind == t || strings.HasSuffix(kind, "."+t) {
				return rule{}, false
			}
		}
		return rule{why: "environment file"}, true
	}
	if strings.HasPrefix(name, "id_") && !strings.HasSuffix(name, ".pub") {
		return rule{why: "private key", holds: pem}, true
	}
	if strings.HasSuffix(name, ".json") && (strings.Contains(name, "service-account") || strings.Contains(name, "service_account") || strings.Contains(name, "credentials") || strings.HasPrefix(name, "client_secret")) {
		return rule{why: "cloud account", holds: account}, true
	}
	return rule{}, false
}

// candidate is a quick look at a name that nearly none passes: it decides what a walk
// over thousands of files costs.
func candidate(name string) bool {
	switch name[0] {
	case '.', '_', 'i', 'I':
		return true
	}
	// The last five letters of all that the rules name.
	dot := strings.LastIndexByte(name, '.')
	if dot < 0 {
		return strings.EqualFold(name, "credentials") || strings.EqualFold(name, "config") || strings.EqualFold(name, "kubeconfig")
	}
	switch ext := name[dot:]; len(ext) {
	case 3, 4, 5, 7, 8, 9:
		for _, e := range []string{".pem", ".key", ".p8", ".ppk", ".p12", ".pfx", ".jks", ".keystore", ".kdbx", ".tfvars", ".env",
			".json", ".toml", ".xml", ".db", ".tfstate", ".backup"} {
			if strings.EqualFold(ext, e) {
				return true
			}
		}
	}
	return false
}
