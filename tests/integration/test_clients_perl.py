"""Perl's Net::POP3, which comes with Perl: keep and delete, 1,000 messages."""

import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))

import itertools  # noqa: E402

import corpus  # noqa: E402
from real_clients import ClientTest, with_lf  # noqa: E402

_MESSAGES = 1000
# Prints every message that it had not seen as "length\n" and octets; what it had is in a file.
_PROGRAM = r"""
use strict;
use warnings;
use Net::POP3;
my ($port, $user, $file, $delete) = @ARGV;
my %seen;
if (open(my $in, '<', $file)) { chomp(my @lines = <$in>); @seen{@lines} = (); }
my $pop3 = Net::POP3->new('127.0.0.1', Port => $port, Timeout => 60) or die "no connection: $@";
defined($pop3->login($user, 'secret')) or die 'login: ' . $pop3->message;
my $names = $pop3->uidl;
open(my $out, '>>', $file) or die $!;
binmode STDOUT;
for my $number (sort { $a <=> $b } keys %$names) {
  if (!exists $seen{$names->{$number}}) {
    my $lines = $pop3->get($number) or die "RETR $number: " . $pop3->message;
    my $text = join '', @$lines;
    print length($text), "\n", $text;
    print $out "$names->{$number}\n";
  }
  if ($delete) { $pop3->delete($number) or die "DELE $number"; }
}
$pop3->quit or die 'QUIT: ' . $pop3->message;
"""


class NetPop3(ClientTest):
    """O3: 1,000 nasty messages, read octet for octet; then nothing new; then all deleted."""

    def setUp(self):
        super().setUp()
        small = itertools.cycle(octets for _, octets in corpus.small_messages())
        self.messages = list(itertools.islice(small, _MESSAGES))
        self.fill(self.messages)
        self.program = self.home / "poll.pl"
        self.program.write_text(_PROGRAM)

    def poll(self, delete=False):
        output = self.run_client("perl", self.program, self.bridge.port(), self.user,
                                 self.home / "seen", int(delete))
        texts = []
        while output:
            length, output = output.split(b"\n", 1)
            texts.append(output[:int(length)])
            output = output[int(length):]
        return texts

    def test_in_clear(self):
        expected = [with_lf(text) for text in self.texts]
        self.compare(self.poll(), expected)
        self.check_kept()
        self.assertEqual(self.poll(), [])
        self.assertEqual(self.poll(delete=True), [])
        self.check_emptied()


if __name__ == "__main__":
    unittest.main()
