/*
 * Command line options.
 */
#include "guest.h"

#define TEXT_SIZE 512

static char options[TEXT_SIZE];
static char value[TEXT_SIZE];

void options_init(const char *text) {
  size_t length = 0;
  while (length + 1 < sizeof options && text[length]) {
    options[length] = text[length];
    length++;
  }
  options[length] = 0;
}

/* The text after a word `name`: "" at its end, "=..." when it has a value; null when there is no such word. */
static const char *find(const char *name) {
  size_t length = text_length(name);
  for (const char *word = options; *word;) {
    while (*word == ' ')
      word++;
    if (memcmp(word, name, length) == 0 && (word[length] == 0 || word[length] == ' ' || word[length] == '='))
      return word + length;
    while (*word && *word != ' ')
      word++;
  }
  return NULL;
}

bool option_present(const char *name) { return find(name) != NULL; }

const char *option_text(const char *name) {
  const char *at = find(name);
  size_t length = 0;
  if (!at || *at != '=')
    return NULL;
  for (at++; *at && *at != ' '; at++)
    value[length++] = *at;
  value[length] = 0;
  return value;
}

uint64_t option_number(const char *name, uint64_t otherwise) {
  const char *digits = option_text(name);
  uint64_t number;
  return digits && text_number(digits, &number) ? number : otherwise;
}
