package command

import (
	"encoding/hex"
	"errors"
	"io"
	"math/bits"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	xferv1 "github.com/xferd/xferd/api/xfer/v1"
	"github.com/xferd/xferd/cmd/xferctl/internal/exit"
	"github.com/xferd/xferd/cmd/xferctl/internal/flagval"
	"github.com/xferd/xferd/cmd/xferctl/internal/place"
)

// errNothing says that there is nothing to copy, which is no failure.
var errNothing = errors.New("the list of --files-from is empty: there is nothing to copy")

// specFlags are the flags of cp and sync that become a spec.
type specFlags struct {
	archive, follow, oneFS, checksum, sizeOnly bool
	update, noClobber, force, zero, dryRun     bool
	delete                                     bool
	maxDelete                                  int64
	streams                                    int32
	filesFrom                                  string

	preserve  flagval.Preserve
	filters   flagval.Filters
	chown     flagval.Chown
	chmod     flagval.Chmod
	chunkSize flagval.Size
	bwlimit   flagval.Rate
	deadline  flagval.Deadline
	labels    flagval.Labels

	verify, digest, durability, transport, encrypt, priority *flagval.Choice

	expected string

	cmd *cobra.Command // to see which flags were given
}

func (s *specFlags) bind(cmd *cobra.Command, sync bool) {
	s.cmd = cmd
	f := cmd.Flags()
	f.SortFlags = false
	f.BoolVarP(&s.dryRun, "dry-run", "n", false, "print how places were read and what would be done, and do nothing")
	f.BoolVarP(&s.archive, "archive", "a", false, "keep owner, group, extended attributes and ACLs as well (default: mode, times, links, hardlinks, sparse)")
	f.Var(&s.preserve, "preserve", "what to keep, a comma `list` of mode, times, links, hardlinks, sparse, owner, xattrs, acls, devices, specials, all, none; \"no-times\" and \"+xattrs\" change what would be kept otherwise")
	f.BoolVarP(&s.follow, "copy-links", "L", false, "copy what symbolic links point to instead of the links")
	f.BoolVarP(&s.oneFS, "one-file-system", "x", false, "do not enter other file systems at the source")
	f.BoolVarP(&s.checksum, "checksum", "c", false, "a file is the same when its contents are; both sides read it (default: when size and time are)")
	f.BoolVar(&s.sizeOnly, "size-only", false, "a file is the same when its size is")
	f.BoolVarP(&s.update, "update", "u", false, "skip files that are newer at the destination")
	f.BoolVar(&s.noClobber, "no-clobber", false, "skip files that exist at the destination")
	f.BoolVar(&s.force, "force", false, "let a file replace a directory, which is deleted with everything in it, and the other way round; at most --max-delete entries")
	if sync {
		f.BoolVar(&s.delete, "delete", false, "delete at the destination what the source does not have, after everything else went well; excluded names stay")
	}
	maxDelete := "with --force: leave what is in the way if it would be more than `N` entries in all (default 100)"
	if sync {
		maxDelete = "with --delete: delete nothing if it would be more than `N` entries (default the larger of 100 and a tenth of the destination, and none where the source is empty); with --force: leave what is in the way if it would be (default 100)"
	}
	f.Int64Var(&s.maxDelete, "max-delete", 0, maxDelete)
	s.bindNames(cmd)
	f.Var(&s.chown, "chown", "owner of everything that is made: `user:group`, user or :group, by number or by a name of this machine")
	f.Var(&s.chmod, "chmod", "change permissions, in rsync's grammar: D755,F644 or go-w and the like")
	s.bindTransport(cmd)
	f.Var(&s.bwlimit, "bwlimit", "at most so many bytes per second, with a unit: 500MB is 500*10^6, 500MiB is 500*2^20, 4Gbit is in bits (default no limit)")
	f.Var(&s.chunkSize, "chunk-size", "unit of sending and of going on: a power of two from 1MiB to 64MiB (default 4MiB)")
	s.digest = flagval.NewChoice("", "sha256", "blake3", "xxh3")
	f.Var(s.digest, "digest", "compute a digest of every file at the destination, before it gets its name, and of those that were the same, as they are there (--checksum compares them with the source): sha256, blake3 or xxh3 (128 bits); \"xferctl transfers show --digests\" lists them")
	if !sync {
		f.StringVar(&s.expected, "expected-digest", "", "with --digest, for one file: the digest in `hex` that it has to have, or it does not get its name")
	}
	s.durability = flagval.NewChoice("", "full", "none")
	f.Var(s.durability, "durability", "a file is done when it is synced to storage (full) or when it has its name (none) (default full)")
	s.priority = flagval.NewChoice("", "background", "low", "normal", "high", "system")
	f.Var(s.priority, "priority", "`class` of admission: background, low, normal, high or system (for administrators); a higher one comes first (default normal)")
	f.Var(&s.deadline, "deadline", "`time` until which it must be done, or it fails: 90m from now, or 2026-03-01T18:00:00Z (default none, but fail after 10m without progress)")
	f.Var(&s.labels, "label", "a mark of your own, `key=value`; may be given up to 64 times")
	for name, c := range map[string]*flagval.Choice{"digest": s.digest, "durability": s.durability, "priority": s.priority} {
		_ = cmd.RegisterFlagCompletionFunc(name, cobra.FixedCompletions(c.Choices(), cobra.ShellCompDirectiveNoFileComp))
	}
	_ = cmd.RegisterFlagCompletionFunc("preserve", cobra.FixedCompletions(flagval.KeepNames(), cobra.ShellCompDirectiveNoFileComp))
}

// bindNames binds the flags that choose among what there is at the source; verify
// has them too.
func (s *specFlags) bindNames(cmd *cobra.Command) {
	f := cmd.Flags()
	f.Var(s.filters.Exclude(), "exclude", "leave out what matches rsync's `pattern`; of all filter flags the first match decides")
	f.Var(s.filters.Include(), "include", "take what matches the `pattern`, before a later --exclude")
	f.Var(s.filters.ExcludeFrom(), "exclude-from", "read patterns from a `file`, one a line, - is stdin; \"+ pattern\" includes, # and ; begin comments")
	f.StringVar(&s.filesFrom, "files-from", "", "take only the names in a `file`, relative to the one source, - is stdin")
	f.BoolVarP(&s.zero, "from0", "0", false, "names and patterns in files end with NUL, not with a line end")
}

// bindTransport binds the flags that decide how bytes move; explain has them
// too.
func (s *specFlags) bindTransport(cmd *cobra.Command) {
	f := cmd.Flags()
	s.verify = flagval.NewChoice("", "none", "wire", "store", "media")
	f.Var(s.verify, "verify", "compare digests of what was read with what arrived (wire), with what is read back (store), with what the device has (media) (default wire)")
	s.transport = flagval.NewChoice("", "auto", "rdma", "tcp")
	f.Var(s.transport, "transport", "how bytes move; rdma fails where it cannot be had, auto then says why not (default auto)")
	s.encrypt = flagval.NewChoice("", "auto", "off", "required")
	f.Var(s.encrypt, "encrypt", "encryption of contents on the network; auto is as the nodes are configured (default auto)")
	f.Int32Var(&s.streams, "streams", 0, "`number` of data connections, 1 to 32 (default 4)")
	for name, c := range map[string]*flagval.Choice{"verify": s.verify, "transport": s.transport, "encrypt": s.encrypt} {
		_ = cmd.RegisterFlagCompletionFunc(name, cobra.FixedCompletions(c.Choices(), cobra.ShellCompDirectiveNoFileComp))
	}
}

// check refuses what contradicts itself, before a server is asked.
func (s *specFlags) check() error {
	given := func(name string) bool { f := s.cmd.Flags().Lookup(name); return f != nil && f.Changed }
	n := s.chunkSize.Bytes
	switch {
	case s.checksum && s.sizeOnly:
		return exit.Usagef("--checksum and --size-only contradict each other")
	case s.noClobber && s.update:
		return exit.Usagef("--no-clobber and --update contradict each other")
	case s.noClobber && s.force:
		return exit.Usagef("--no-clobber and --force contradict each other")
	case given("max-delete") && !s.delete && !s.force:
		return exit.Usagef("--max-delete means nothing without --delete or --force")
	case s.maxDelete < 0:
		return exit.Usagef("--max-delete %d: write 0 or more", s.maxDelete)
	case s.expected != "" && s.digest.Value == "":
		return exit.Usagef("--expected-digest needs --digest, to know of which kind it is")
	case given("streams") && (s.streams < 1 || s.streams > 32):
		return exit.Usagef("--streams %d: write 1 to 32", s.streams)
	case given("chunk-size") && (n < 1<<20 || n > 64<<20 || bits.OnesCount64(uint64(n)) != 1):
		return exit.Usagef("--chunk-size %s: write a power of two from 1MiB to 64MiB", s.chunkSize.String())
	case given("bwlimit") && s.bwlimit.BytesPerSecond > 1<<50:
		return exit.Usagef("--bwlimit %s: at most 1PiB/s", s.bwlimit.String())
	}
	return nil
}

// spec returns the spec of a mapping with all nodes named.
func (s *specFlags) spec(m place.Mapping, mode xferv1.Mode, stdin io.Reader, now time.Time) (*xferv1.TransferSpec, error) {
	out := &xferv1.TransferSpec{
		Mode:           mode,
		FollowSymlinks: s.follow,
		OneFileSystem:  s.oneFS,
		Update:         s.update,
		NoClobber:      s.noClobber,
		Force:          s.force,
		ChownUid:       s.chown.UID,
		ChownGid:       s.chown.GID,
		Chmod:          s.chmod.Text,
		DryRun:         s.dryRun,
		Delete:         s.delete,
		Labels:         s.labels.Map,
	}
	setPlaces(out, m)
	switch {
	case s.checksum:
		out.Compare = xferv1.Compare_COMPARE_CHECKSUM
	case s.sizeOnly:
		out.Compare = xferv1.Compare_COMPARE_SIZE
	}
	if s.cmd.Flags().Changed("preserve") || s.archive {
		base := flagval.KeepDefault
		if s.archive {
			base = flagval.KeepArchive
		}
		out.Preserve = preserve(s.preserve.Resolve(base))
	}
	if s.cmd.Flags().Changed("max-delete") {
		out.MaxDelete = proto.Int64(s.maxDelete)
	}
	if s.chunkSize.Bytes > 0 {
		out.ChunkSize = proto.Int64(s.chunkSize.Bytes)
	}
	if s.bwlimit.BytesPerSecond > 0 {
		out.MaxBytesPerSecond = proto.Int64(s.bwlimit.BytesPerSecond)
	}
	if t := s.deadline.Time(now); !t.IsZero() {
		out.Deadline = timestamppb.New(t)
	}
	out.Digest = xferv1.DigestKind(choice(s.digest, xferv1.DigestKind_value, "DIGEST_KIND_"))
	var err error
	if out.ExpectedDigest, err = hex.DecodeString(strings.TrimSpace(s.expected)); err != nil {
		return nil, exit.Usagef("--expected-digest %s: write it in hex, as sha256sum does", s.expected)
	}
	out.Durability = xferv1.Durability(choice(s.durability, xferv1.Durability_value, "DURABILITY_"))
	out.Priority = xferv1.Priority(choice(s.priority, xferv1.Priority_value, "PRIORITY_"))
	s.setTransport(out)
	return out, s.setLists(out, stdin)
}

func (s *specFlags) setTransport(out *xferv1.TransferSpec) {
	if s.streams > 0 {
		out.Streams = proto.Int32(s.streams)
	}
	out.Verify = xferv1.Verify(choice(s.verify, xferv1.Verify_value, "VERIFY_"))
	out.Transport = xferv1.TransportPolicy(choice(s.transport, xferv1.TransportPolicy_value, "TRANSPORT_POLICY_"))
	out.Encryption = xferv1.Encryption(choice(s.encrypt, xferv1.Encryption_value, "ENCRYPTION_"))
}

// setLists reads the filters and names, some of which may come from stdin.
func (s *specFlags) setLists(out *xferv1.TransferSpec, stdin io.Reader) error {
	rules, err := s.filters.Rules(stdin, s.zero)
	if err != nil {
		return exit.With(exit.Usage, err)
	}
	for _, r := range rules {
		out.Filters = append(out.Filters, &xferv1.FilterRule{Include: r.Include, Pattern: []byte(r.Pattern)})
	}
	if !s.cmd.Flags().Changed("files-from") {
		return nil
	}
	if len(out.GetSources()) != 1 {
		return exit.Usagef("--files-from needs exactly one source, since the names are relative to it")
	}
	names, err := flagval.FilesFrom(s.filesFrom, stdin, s.zero)
	if err != nil {
		return exit.With(exit.Usage, err)
	}
	if len(names) == 0 {
		return errNothing // to the API an empty list would mean all
	}
	for _, n := range names {
		rel, err := place.Relative(n)
		if err != nil {
			return exit.With(exit.Usage, err)
		}
		out.FilesFrom = append(out.FilesFrom, []byte(rel))
	}
	return nil
}
