package cli

import (
	"math"
	"testing"
)

func TestParseSize(t *testing.T) {
	for text, want := range map[string]int64{
		"0": 0, "1": 1, "512M": 512 << 20, "2g": 2 << 30, "4GiB": 4 << 30, "7kB": 7 << 10, "1T": 1 << 40, "100b": 100,
		"9223372036854775807": math.MaxInt64, "7E": 7 << 60,
	} {
		if got, err := parseSize(text); err != nil || got != want {
			t.Errorf("parseSize(%q) = %d, %v; want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "G", "-1", "+1", "1.5G", "8E", "9223372036854775808", "1 G", "1GG", "1iB2", "0x10", "1KM", "99999999999T", "1Q"} {
		if got, err := parseSize(text); err == nil {
			t.Errorf("parseSize(%q) = %d, want an error", text, got)
		}
	}
	for n, want := range map[int64]string{0: "0", 1023: "1023", 1024: "1K", 4 << 30: "4G", 3 << 29: "1536M", 1025: "1025"} {
		if got := formatSize(n); got != want {
			t.Errorf("formatSize(%d) = %s, want %s", n, got, want)
		}
	}
}
