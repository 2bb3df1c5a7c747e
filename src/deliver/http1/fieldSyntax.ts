/** Sources of regular expressions over Latin-1 text: RFC 9110, sections 5.6.2 and 5.5. */

export const token = "[!#$%&'*+.^_`|~0-9A-Za-z-]+";
/** No CR, LF or NUL, with which a value could end its line and begin another. */
export const fieldValue = '[\\t\\x20-\\x7e\\x80-\\xff]*';
