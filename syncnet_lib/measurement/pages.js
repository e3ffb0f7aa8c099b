for (const [column, head] of document.querySelectorAll('.index th').entries()) {
  head.firstElementChild.onclick = () => {
    const body = document.querySelector('.index tbody'), down = head.ariaSort === 'ascending';
    const key = row => row.cells[column].dataset.key ?? row.cells[column].textContent;
    const number = text => text !== '' && !isNaN(text);
    // What has no value comes last, whichever way.
    const compare = (a, b) => (a === '') - (b === '') || (down ? -1 : 1) * (number(a) && number(b) ? a - b : a.localeCompare(b));
    const rows = [...body.rows].sort((a, b) => compare(key(a), key(b)));
    for (const other of document.querySelectorAll('.index th')) other.ariaSort = null;
    head.ariaSort = down ? 'descending' : 'ascending';
    body.append(...rows);
  };
}
