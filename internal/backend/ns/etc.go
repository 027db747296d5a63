package ns

import (
	"fmt"
	"strings"

	"github.com/ringwall/ringwall/internal/sandbox"
)

// synthesised returns the files of /etc that are made for the sandbox, as pairs of
// name and content.
func synthesised(u sandbox.User, id identity) [][2]string {
	uid, gid := id.uids.inside, id.gids.inside
	passwd := "root:x:0:0:root:" + u.Home + ":/bin/sh\n"
	if uid != 0 {
		passwd = "root:x:0:0:root:/root:/usr/sbin/nologin\n"
		passwd += fmt.Sprintf("%s:x:%d:%d::%s:/bin/sh\n", u.Name, uid, gid, u.Home)
	}
	group := "root:x:0:\n"
	if gid != 0 {
		group += fmt.Sprintf("%s:x:%d:\n", u.Name, gid)
	}
	return [][2]string{
		{"passwd", passwd + "nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n"},
		{"group", group + "nogroup:x:65534:\n"},
		{"hostname", hostname + "\n"},
		{"hosts", "127.0.0.1 localhost " + hostname + "\n::1 localhost ip6-localhost ip6-loopback\n"},
		{"resolv.conf", "# This sandbox has no network.\n"},
		{"nsswitch.conf", "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\nservices: files\nprotocols: files\n"},
	}
}

// gitconfig lets git commit under the caller's name and trust the project, whose
// files can belong to an id that git does not know.
func gitconfig(u sandbox.User) string {
	var b strings.Builder
	if u.GitName != "" || u.GitEmail != "" {
		b.WriteString("[user]\n")
		if u.GitName != "" {
			fmt.Fprintf(&b, "\tname = %s\n", gitQuote(u.GitName))
		}
		if u.GitEmail != "" {
			fmt.Fprintf(&b, "\temail = %s\n", gitQuote(u.GitEmail))
		}
	}
	b.WriteString("[safe]\n\tdirectory = *\n")
	return b.String()
}

// gitQuote quotes a value as git-config(1) says. A line end cannot occur: it would
// start a new setting.
func gitQuote(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, s)
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}
